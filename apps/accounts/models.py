"""People who use an installation, and the keys that sign its tokens (shared schema)."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Now


class User(AbstractUser):
    """Somebody who can log in to the console; a superuser is a platform operator."""


class SigningKey(models.Model):
    """A key pair that signs tokens (`apps.accounts.tokens`): the newest signs, all of them verify."""

    kid = models.CharField(max_length=64, unique=True)
    public_key = models.TextField()  # PEM
    private_key = models.TextField(editable=False)  # PEM, encrypted
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.kid
