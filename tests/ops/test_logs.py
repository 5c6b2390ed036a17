"""Log lines: their format, what they carry, and what they must not."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from hector_site import logs
from hector_site.redaction import MASK


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What is logged during the test, as the JSON format writes it."""
    written: list[dict[str, Any]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(json.loads(self.format(record)))

    handler = Collect()
    handler.setFormatter(logs.formatter("json"))
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def test_an_event_carries_its_context_and_every_unknown_field(lines: list[dict[str, Any]]) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1", app="acme", task="t1"):
        structlog.get_logger("some.module").info("it_happened", colour="blue", nested={"a": [1, 2]})
    (line,) = lines
    assert line["event"] == "it_happened"
    assert line["level"] == "info"
    assert line["logger"] == "some.module"
    assert (line["request_id"], line["app"], line["task"]) == ("r1", "acme", "t1")
    assert (line["colour"], line["nested"]) == ("blue", {"a": [1, 2]})


def test_other_libraries_log_lines_are_the_same(lines: list[dict[str, Any]]) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logging.getLogger("a.library").warning("gave up after %d", 3, extra={"host": "db"})
    (line,) = lines
    assert (line["event"], line["host"], line["request_id"]) == ("gave up after 3", "db", "r1")


def test_an_exception_is_one_field_of_one_line(lines: list[dict[str, Any]]) -> None:
    try:
        raise ValueError("nothing works")
    except ValueError:
        structlog.get_logger("some.module").exception("it_failed")
    (line,) = lines
    assert line["exception"].splitlines()[-1] == "ValueError: nothing works"


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "hunter22"},
        {"headers": {"Authorization": "Token hunter22", "X-Api-Key": "hunter22"}},
        {"nested": [{"client_secret": "hunter22"}]},
        {"said": "sent Bearer hunter22 to it"},
        {"url": "postgres://me:hunter22@db/x"},
        {"token": b"hunter22"},
    ],
)
def test_a_secret_is_not_written(lines: list[dict[str, Any]], fields: dict[str, Any]) -> None:
    structlog.get_logger("some.module").info("it_happened", **fields)
    assert "hunter22" not in json.dumps(lines)
    assert MASK in json.dumps(lines)


def test_a_secret_in_an_exception_is_not_written(lines: list[dict[str, Any]]) -> None:
    try:
        raise ConnectionError("could not reach redis://:hunter22@cache")
    except ConnectionError:
        logging.getLogger("a.library").exception("it failed")
    assert "hunter22" not in json.dumps(lines)


def test_counting_tokens_is_no_secret(lines: list[dict[str, Any]]) -> None:
    structlog.get_logger("some.module").info("llm_completed", input_tokens=12, token=7, tokens=19)
    assert (lines[0]["input_tokens"], lines[0]["token"], lines[0]["tokens"]) == (12, 7, 19)


@pytest.mark.parametrize(
    ("environment", "watched", "chosen"),
    [
        ("", True, "human"),
        ("", False, "json"),
        ("production", True, "json"),
        ("development", False, "human"),
    ],
)
def test_auto_goes_by_env_then_by_who_watches(
    monkeypatch: pytest.MonkeyPatch, environment: str, watched: bool, chosen: str
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: watched)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("ENV", environment)
    assert logs.chosen_format("auto") == chosen
    assert logs.chosen_format("human") == "human"
    assert logs.chosen_format("auto", "to-a-file.log") == ("human" if environment == "development" else "json")
