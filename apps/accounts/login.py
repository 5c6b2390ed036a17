"""Whether somebody is who they say: name and password, with a bound on guessing that all replicas share.

Each try is written down before the password is looked at, and taken back when it was right; so many guesses at once
count, too. After `PER_PLACE` wrong ones for a name from one address, or `PER_NAME` from anywhere, within `WINDOW`,
nothing more is looked at until the oldest of them is that old. Behind a proxy all people come from its address.
"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import authenticate
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts import second_factor
from apps.accounts.models import LoginTry, User

WINDOW = timedelta(minutes=15)
PER_PLACE = 10
PER_NAME = 100


class WrongCredentials(Exception):
    """The name, the password or the code is wrong, or the account is closed."""

    code = "wrong_credentials"

    def __init__(self) -> None:
        super().__init__("The name, the password or the code is wrong.")


class CodeNeeded(Exception):
    """The account has a second factor: send the code, too."""

    code = "code_needed"

    def __init__(self) -> None:
        super().__init__("This account has a second factor: give the code of your authenticator app, too.")


class TooManyTries(Exception):
    """There were too many wrong passwords for this name."""

    code = "too_many_tries"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"There were too many wrong passwords for this name. Try again in {-(-seconds // 60)} min.")
        self.seconds = seconds


def check(request: HttpRequest, username: str, password: str, code: str = "") -> User:
    """Raises WrongCredentials, TooManyTries, CodeNeeded. A wrong code counts as a wrong password, none does not."""
    name, address = username[:150], request.META.get("REMOTE_ADDR", "")[:64]
    tried = LoginTry.objects.create(username=name, address=address)
    if seconds := _seconds_to_wait(name, address, before=tried.pk):
        tried.delete()  # it was not looked at
        raise TooManyTries(seconds)
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        LoginTry.objects.filter(at__lt=timezone.now() - WINDOW).delete()
        raise WrongCredentials
    needs_code = second_factor.is_on(user)
    if needs_code and code and not second_factor.accepts(user, code):
        raise WrongCredentials
    tried.delete()
    if needs_code and not code:
        raise CodeNeeded
    return user


def _seconds_to_wait(name: str, address: str, *, before: int) -> int:
    """Until the next try; 0: now."""
    now = timezone.now()
    recent = LoginTry.objects.filter(username=name, at__gt=now - WINDOW, pk__lt=before).order_by("-pk")
    for tries, most in ((recent.filter(address=address), PER_PLACE), (recent, PER_NAME)):
        times = list(tries.values_list("at", flat=True)[:most])
        if len(times) == most:
            return max(1, round((times[-1] + WINDOW - now).total_seconds()))
    return 0
