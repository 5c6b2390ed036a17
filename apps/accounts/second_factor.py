"""A second factor, for who wants one: codes of an authenticator app (TOTP, RFC 6238), by django-otp.

Each code is good once. Wrong ones count as wrong passwords do (`apps.accounts.login`), and django-otp makes the person
wait longer after each, besides. The key that app and installation share stands in the database as it is, beside the
hash of the password: who reads the database has both.
"""

from __future__ import annotations

import segno
from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice

from apps.accounts import audit
from apps.accounts.models import User


def is_on(user: User) -> bool:
    return bool(_devices(user).exists())


def accepts(user: User, code: str) -> bool:
    """Whether this is the code of now, and was not used yet."""
    with transaction.atomic():
        device = _devices(user).select_for_update().first()
        return device is not None and _verifies(device, code)


def begin(user: User) -> TOTPDevice:
    """The key that an authenticator app shall learn; it counts once a code has proved that it has."""
    return _begun(user).first() or TOTPDevice.objects.create(user=user, confirmed=False, name="Authenticator app")


def picture(device: TOTPDevice) -> str:
    """The key as a QR code, as a `data:` address."""
    return str(segno.make(device.config_url, micro=False).svg_data_uri(scale=4, border=2))


def turn_on(user: User, code: str) -> bool:
    """Whether the code was right."""
    with transaction.atomic():
        device = _begun(user).select_for_update().first()
        if device is None or is_on(user) or not _verifies(device, code):
            return False
        TOTPDevice.objects.filter(pk=device.pk).update(confirmed=True)
        audit.record("second_factor_on", by=user.get_username(), target=user.get_username())
    return True


def turn_off(user: User, *, by: str, reason: str = "") -> None:
    with transaction.atomic():
        if TOTPDevice.objects.filter(user=user).delete()[0]:
            audit.record("second_factor_off", by=by, target=user.get_username(), reason=reason)


def _devices(user: User):  # type: ignore[no-untyped-def]  # django-otp has no types
    return TOTPDevice.objects.filter(user=user, confirmed=True)


def _begun(user: User):  # type: ignore[no-untyped-def]
    """The first is meant: two windows may have begun at once."""
    return TOTPDevice.objects.filter(user=user, confirmed=False).order_by("pk")


def _verifies(device: TOTPDevice, code: str) -> bool:
    digits = code.replace(" ", "")
    return bool(
        digits.isascii() and digits.isdecimal() and len(digits) == device.digits and device.verify_token(digits)
    )
