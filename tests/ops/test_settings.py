"""Settings from the environment: what is understood, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.ops.checks import contradictions
from hector_site import database, env, mail


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1.5", 1.5)]
)
def test_a_duration_is_read_in_any_unit(text: str, seconds: float) -> None:
    assert env.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 m", "-1s", "1s2m", "1w"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write 500ms, 30s"):
        env.parse_duration(text)


def test_a_number_out_of_bounds_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HECTOR_SLOTS", "0")
    with pytest.raises(env.BadSetting, match="HECTOR_SLOTS is 0: the least is 1"):
        env.envint("HECTOR_SLOTS", 32, least=1)


def test_an_unknown_choice_is_told_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HECTOR_LOG_FORMAT", "xml")
    with pytest.raises(env.BadSetting, match="'xml': write auto, json or human"):
        env.envchoice("HECTOR_LOG_FORMAT", "auto", ("auto", "json", "human"))


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.delenv("HECTOR_AUTH_SECRET", raising=False)
    monkeypatch.setenv("HECTOR_AUTH_SECRET_FILE", str(tmp_path / "secret"))
    assert env.envsecret("HECTOR_AUTH_SECRET") == "from a file"


@pytest.mark.parametrize(
    "url",
    [
        "postgres://hector:s3cret@db/hector",
        "postgres://hector@db/hector?password=s3cret&sslmode=require",
        "mysql://hector:s3cret@db/x",
        "postgres://hector:s3cret@db:port/x",
        "postgres://hector:s3cret@db",
        "postgres://hector:s3cret@with@at@db/hector",
    ],
)
def test_no_password_of_a_database_url_is_ever_shown(url: str) -> None:
    assert "s3cret" not in database.masked(url)
    try:
        database.from_url(url)
    except env.BadSetting as refused:
        assert "s3cret" not in str(refused)


def test_a_database_url_keeps_what_is_quoted_in_it() -> None:
    entry = database.from_url("postgres://a%40b:p%2Fw@db.internal:6543/hector?sslmode=require")
    assert (entry["USER"], entry["PASSWORD"], entry["HOST"], entry["PORT"]) == ("a@b", "p/w", "db.internal", "6543")
    assert entry["OPTIONS"]["sslmode"] == "require"


@pytest.mark.parametrize(
    "address", ["hector.example.com", "//hector.example.com", "ftp://hector.example.com", "https://", "https://["]
)
def test_an_address_that_no_message_could_link_to_is_refused_at_the_start(address: str, settings: Any) -> None:
    assert contradictions() == []
    settings.HECTOR_PUBLIC_URL = address
    assert ["HECTOR_PUBLIC_URL" in error.msg for error in contradictions()] == [True]


def test_a_mail_server_is_spoken_to_in_private_unless_that_is_switched_off() -> None:
    plain = mail.from_url("smtp://anna:p%40ss@mail.example.com")
    assert (plain.host, plain.port, plain.user, plain.password) == ("mail.example.com", 587, "anna", "p@ss")
    assert plain.starttls and not plain.tls
    assert mail.from_url("smtps://mail.example.com").tls
    off = mail.from_url("smtp://mail.internal:25?tls=off")
    assert (off.port, off.starttls, off.tls) == (25, False, False)
    assert mail.from_url("").backend == ""


@pytest.mark.parametrize(
    "url", ["mail.example.com", "http://a:hunter2@b", "smtp://a:hunter2@", "smtp://a:hunter2@b?tls=no"]
)
def test_what_is_no_mail_server_is_refused_without_the_password(url: str) -> None:
    with pytest.raises(env.BadSetting, match="HECTOR_EMAIL_URL") as refused:
        mail.from_url(url)
    assert "hunter2" not in str(refused.value)
