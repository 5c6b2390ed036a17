"""People who use an installation, the keys that sign its tokens, and its audit trail (shared schema)."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Now


class User(AbstractUser):
    """Somebody who can log in; a superuser is a platform operator."""


class SigningKey(models.Model):
    """A key pair that signs tokens (`apps.accounts.keys`): the newest signs, all of them verify."""

    kid = models.CharField(max_length=64, unique=True)
    public_key = models.TextField()  # PEM
    private_key = models.TextField(editable=False)  # PEM, encrypted
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.kid


class LoginTry(models.Model):
    """A wrong password, or one that is being looked at (`apps.accounts.login`)."""

    username = models.CharField(max_length=150)
    address = models.CharField(max_length=64)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["username", "-id"], name="login_try_username")]

    def __str__(self) -> str:
        return f"{self.username} from {self.address}"


class AuditRecord(models.Model):
    """What somebody did that no App's events tell, or that must outlast its App; written with the deed itself.

    `app_name` is text: the record stays when the App goes.
    """

    at = models.DateTimeField(db_default=Now(), editable=False)
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=64)
    app_name = models.CharField(max_length=48, blank=True, db_index=True)  # empty: of the installation
    target = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=1000, blank=True)
    details = models.JSONField(default=dict, db_default={})

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.target}"
