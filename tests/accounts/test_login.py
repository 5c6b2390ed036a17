"""Guessing passwords is bounded, over all replicas, and nobody else is kept out by it."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db.models import F
from django.test import RequestFactory
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from apps.accounts import login, second_factor
from apps.accounts.models import AuditRecord, LoginTry, User
from apps.tenancy import people

pytestmark = pytest.mark.django_db
RIGHT = "a good password"


@pytest.fixture(autouse=True)
def mia() -> User:
    return User.objects.create_user("mia", password=RIGHT)


def tries(name: str = "mia", password: str = "wrong", address: str = "10.0.0.1") -> User:
    return login.check(RequestFactory(REMOTE_ADDR=address).post("/"), name, password)


def guess(times: int, **how: str) -> None:
    for _ in range(times):
        with pytest.raises(login.WrongCredentials):
            tries(**how)


def test_after_ten_wrong_passwords_not_even_the_right_one_is_looked_at() -> None:
    guess(login.PER_PLACE)
    with pytest.raises(login.TooManyTries) as refused:
        tries(password=RIGHT)
    assert 0 < refused.value.seconds <= 900 and "15 min" in str(refused.value)


def test_others_and_other_places_are_not_kept_out() -> None:
    guess(login.PER_PLACE)
    User.objects.create_user("ned", password=RIGHT)
    assert tries("ned", RIGHT).username == "ned"
    assert tries(password=RIGHT, address="10.0.0.2").username == "mia"


def test_many_places_together_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "PER_NAME", 12)
    for number in range(12):
        guess(1, address=f"10.0.1.{number}")
    with pytest.raises(login.TooManyTries):
        tries(password=RIGHT, address="10.0.2.1")


def test_a_name_that_nobody_has_is_treated_alike() -> None:
    guess(login.PER_PLACE, name="nobody")
    with pytest.raises(login.TooManyTries):
        tries("nobody")


def test_it_is_over_after_a_quarter_of_an_hour_and_tries_then_do_not_pile_up() -> None:
    guess(login.PER_PLACE)
    with pytest.raises(login.TooManyTries):
        tries()
    LoginTry.objects.update(at=F("at") - login.WINDOW - timedelta(seconds=1))
    assert tries(password=RIGHT).username == "mia"


# --- The second factor --------------------------------------------------------------------------------------------
def code_of(device: TOTPDevice, steps: int = 0) -> str:
    generator = TOTP(device.bin_key, device.step, device.t0, device.digits)
    generator.time = time.time() + steps * device.step
    return f"{generator.token():06d}"


def test_a_second_factor_counts_once_a_code_has_proved_it(mia: User) -> None:
    device = second_factor.begin(mia)
    assert tries(password=RIGHT) == mia, "begun is not on"
    assert second_factor.picture(device).startswith("data:image/svg+xml")
    assert not second_factor.turn_on(mia, "12345x")
    assert second_factor.turn_on(mia, code_of(device, -1))
    with pytest.raises(login.CodeNeeded):
        tries(password=RIGHT)
    assert not LoginTry.objects.exists(), "to be asked for a code is no wrong password"
    used = code_of(device)
    assert login.check(RequestFactory().post("/"), "mia", RIGHT, used[:3] + " " + used[3:]) == mia
    with pytest.raises(login.WrongCredentials):
        login.check(RequestFactory().post("/"), "mia", RIGHT, used)


def test_what_two_windows_began_at_once_is_one_of_them(mia: User) -> None:
    device, _ = second_factor.begin(mia), TOTPDevice.objects.create(user=mia, confirmed=False)
    assert second_factor.begin(mia) == device
    assert second_factor.turn_on(mia, code_of(device))


def test_a_code_is_not_asked_for_before_the_password_is_right(mia: User) -> None:
    device = second_factor.begin(mia)
    second_factor.turn_on(mia, code_of(device))
    guess(1)
    with pytest.raises(login.WrongCredentials):
        login.check(RequestFactory().post("/"), "mia", RIGHT, "000000x")
    assert LoginTry.objects.count() == 2, "a wrong code is as a wrong password"


def test_a_new_link_turns_the_second_factor_off(mia: User) -> None:
    device = second_factor.begin(mia)
    second_factor.turn_on(mia, code_of(device))
    people.forget_password(mia, by="olga", reason="lost the phone")
    assert not second_factor.is_on(mia)
    assert [record.action for record in AuditRecord.objects.order_by("id")] == [
        "second_factor_on", "second_factor_off", "password_forgotten",
    ]  # fmt: skip


def test_right_passwords_do_not_count() -> None:
    for _ in range(login.PER_PLACE + 1):
        tries(password=RIGHT)
    assert not LoginTry.objects.exists()


def test_a_closed_account_is_told_from_a_wrong_password_by_nobody() -> None:
    User.objects.update(is_active=False)
    guess(1, password=RIGHT)
