"""The App (tenant), its people, tokens and secrets; all in the shared schema."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now

from apps.accounts.permissions import Role

SLUG = r"[a-z][a-z0-9-]{0,47}"
DEFAULT_APP = "default"
_ROLES = [role.value for role in Role]


class App(models.Model):
    """One isolated tenant: its agents, tasks and events live in a schema (PostgreSQL) or file (SQLite) of their own.

    `apps.tenancy.lifecycle` creates and deletes Apps; `connection.set_tenant(app)` enters one.
    """

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        DELETING = "deleting"

    name = models.CharField(
        max_length=48,
        unique=True,
        validators=[RegexValidator(rf"^{SLUG}$", "Use lower-case letters, digits and hyphens, a letter first.")],
    )
    schema_name = models.CharField(max_length=63, unique=True, editable=False)
    display_name = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)
    weight = models.PositiveIntegerField(default=1, db_default=1)
    max_concurrent = models.PositiveIntegerField(null=True, blank=True)
    retention = models.JSONField(default=dict, db_default={}, editable=False)  # what differs from the installation's
    limits = models.JSONField(default=dict, db_default={}, editable=False)  # `apps.quotas.rules`
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    migrations = models.CharField(max_length=64, default="", editable=False)  # digest of those its schema has

    # What django-tenants asks of a tenant.
    tenant_type = None
    auto_drop_schema = False  # `lifecycle.delete` drops it

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(weight__gte=1), name="app_weight_positive"),
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "suspended", "deleting"]), name="app_status_known"
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or self.name

    def get_tenant_type(self) -> None:
        return None


class Membership(models.Model):
    """What somebody may do in one App. Platform operators need none."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=[(role.value, role.value.capitalize()) for role in Role])
    sees_payloads = models.BooleanField(default=False, db_default=False)  # asked of a viewer; the others always do

    class Meta:
        ordering = ["app"]
        constraints = [
            models.UniqueConstraint(fields=["user", "app"], name="membership_once"),
            models.CheckConstraint(condition=models.Q(role__in=_ROLES), name="membership_role"),
        ]

    def __str__(self) -> str:
        return f"{self.role} of {self.app}"


class Credential(models.Model):
    """What tokens stand for: an App's token, or the login of a person with all tokens that have come of it.

    Without a row that is neither expired nor revoked, a token is worth nothing, whatever its signature says. The row
    goes with its App and its person, so one of a later App of the same name does not revive old tokens.
    """

    key = models.CharField(max_length=64, unique=True)  # the `jti` of an App's token, the `sid` of a person's
    # No App: the login of a platform operator. No person: an App's token.
    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="credentials", null=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="credentials", null=True)
    role = models.CharField(max_length=16, blank=True)  # of an App's token; a person's is that of the membership
    sees_payloads = models.BooleanField(default=False, db_default=False)
    note = models.CharField(max_length=200, blank=True)  # what an App's token is for
    limits = models.JSONField(default=dict, db_default={}, editable=False)  # of an App's token (`apps.quotas.rules`)
    kid = models.CharField(max_length=64)  # the key that signed last
    refresh = models.CharField(max_length=64, blank=True)  # the `jti` of the one refresh token that is good
    password_mark = models.CharField(max_length=128, blank=True)  # a new password ends what the old one began
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(user=None, app__isnull=False, role__in=_ROLES, refresh="")
                | (models.Q(user__isnull=False, role="") & ~models.Q(refresh="")),
                name="credential_of_an_app_or_a_person",
            )
        ]

    def __str__(self) -> str:
        return self.key


class Remains(models.Model):
    """The working directory of a deleted App, which each host that has it removes (`apps.tenancy.paths`)."""

    directory = models.CharField(max_length=80, unique=True)
    since = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "remains"

    def __str__(self) -> str:
        return self.directory


class Secret(models.Model):
    """One named secret of an App. The value is encrypted at rest and is never shown again."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=100)
    ciphertext = models.TextField(editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["app", "name"], name="secret_name_per_app")]

    def __str__(self) -> str:
        return self.name
