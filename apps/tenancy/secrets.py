"""An App's secrets: written, used and replaced, but never shown. Encrypted for exactly this App and name."""

from __future__ import annotations

import re

from django.db import transaction
from django.db.models.functions import Now

from apps.accounts import audit, crypto, keys
from apps.tenancy.errors import BadSecretName
from apps.tenancy.models import App, Secret

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def put(app: App, name: str, value: str, *, by: str = "") -> None:
    """Sets or replaces a secret. Raises BadSecretName."""
    if not NAME.fullmatch(name):
        raise BadSecretName(name)
    ciphertext = crypto.encrypt(value, context=_context(app.name, name))
    with transaction.atomic():
        Secret.objects.update_or_create(app=app, name=name, defaults={"ciphertext": ciphertext, "updated_at": Now()})
        audit.record("secret_set", by=by, app_name=app.name, target=name)


def delete(app: App, name: str, *, by: str = "") -> bool:
    """Whether there was one."""
    with transaction.atomic():
        deleted = Secret.objects.filter(app=app, name=name).delete()[0] > 0
        if deleted:
            audit.record("secret_deleted", by=by, app_name=app.name, target=name)
    return deleted


def names(app: App) -> list[str]:
    return list(Secret.objects.filter(app=app).values_list("name", flat=True))


def values(app: App) -> dict[str, str]:
    """All secrets of the App, in clear. Raises CannotDecrypt."""
    rows = Secret.objects.filter(app=app).values_list("name", "ciphertext")
    return {name: crypto.decrypt(ciphertext, context=_context(app.name, name)) for name, ciphertext in rows}


def stamp(app: App) -> int:
    """Changes when a secret of the App does: what was built with the former values is out of date."""
    return hash(tuple(Secret.objects.filter(app=app).values_list("name", "ciphertext")))


def rotate() -> int:
    """Encrypts everything again with the first of HECTOR_ENCRYPTION_KEYS, so that the others can be taken away.

    How many secrets that were. One that is written meanwhile is left alone: it has the first key already.
    """
    keys.reencrypt()
    count = 0
    for secret in Secret.objects.select_related("app").iterator():
        context = _context(secret.app.name, secret.name)
        ciphertext = crypto.encrypt(crypto.decrypt(secret.ciphertext, context=context), context=context)
        count += Secret.objects.filter(pk=secret.pk, ciphertext=secret.ciphertext).update(ciphertext=ciphertext)
    return count


def _context(app_name: str, name: str) -> str:
    return f"secret/{app_name}/{name}"  # neither part can hold a slash
