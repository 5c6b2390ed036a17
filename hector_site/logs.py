"""Logging: one line per event on stderr (or in a file), for people or as JSON.

Everything goes through the standard library's root logger, structlog's events as well as those of Django, gunicorn,
django-q2 and the rest, so one level, one format and one redaction hold for all. Context variables (`request_id`,
`app`, `task`, `trace_id`) and unknown `extra` fields are kept. What looks like a secret, by its key or by its form,
is replaced before it is written; a secret of no known form under a harmless key is not recognised.
"""

from __future__ import annotations

import logging
import logging.config
import os
import re
import sys
from collections.abc import Mapping
from typing import IO, Any

import structlog
from django.http import HttpRequest
from structlog.typing import EventDict, Processor, WrappedLogger

from hector_site.redaction import MASK, redacted

_SECRET_KEY = re.compile(
    r"(authorization|cookie|passw(or)?d|secret|token|api[-_]?key|private[-_]?key|credentials?|dsn)$", re.IGNORECASE
)
_DEEPEST = 8
_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
# Chatty at their own level: one line per request or per start-up step, which ours say already.
_QUIET = {
    "django.request": logging.ERROR,
    "django.security": logging.WARNING,
    "gunicorn.error": logging.WARNING,
    "django-q": logging.WARNING,
    "httpx": logging.WARNING,
    "httpx2": logging.WARNING,
    "mcp": logging.WARNING,
    "asyncio": logging.WARNING,
    "psycopg.pool": logging.ERROR,
}


def configure(config: Mapping[str, Any]) -> None:
    """Django's `LOGGING_CONFIG`: `config` has `level`, `format` and `file` (empty: stderr)."""
    level = config["level"].upper()
    loggers: dict[str, dict[str, Any]] = {
        name: {"handlers": [], "propagate": True, "level": "NOTSET"} for name in ("django", "django.server")
    }
    if level != "DEBUG":
        for name, quiet in _QUIET.items():
            loggers[name] = {"level": max(quiet, logging.getLevelNamesMapping()[level])}
    handler = (
        {"class": "logging.handlers.WatchedFileHandler", "filename": config["file"], "encoding": "utf-8"}
        if config["file"]
        else {"()": StderrHandler}
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": formatter, "style": chosen_format(config["format"], config["file"])}},
            "handlers": {"line": {**handler, "formatter": "line"}},
            "root": {"handlers": ["line"], "level": level},
            "loggers": loggers,
        }
    )
    _through_the_standard_library()


def join(_: Mapping[str, Any]) -> None:
    """The `LOGGING_CONFIG` of a program that has Hector in it: events go, masked, where its own logging puts them."""
    _through_the_standard_library(redact)


def _through_the_standard_library(*further: Processor) -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *further,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def chosen_format(asked: str, file: str = "") -> str:
    """`json` or `human`. `auto` goes by `ENV` where it is set, else by whether a person watches stderr."""
    if asked != "auto":
        return asked
    environment = os.environ.get("ENV", "").lower()
    if environment in ("production", "prod", "staging"):
        return "json"
    if environment in ("development", "dev", "local"):
        return "human"
    return "human" if not file and sys.stderr.isatty() else "json"


def formatter(style: str) -> structlog.stdlib.ProcessorFormatter:
    renderer: Processor = structlog.processors.JSONRenderer(default=str)
    if style == "human":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact,
            _in_order,
            renderer,
        ],
    )


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What a reader looks for first comes first."""
    return {key: event[key] for key in ("timestamp", "level", "event") if key in event} | dict(event)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Masks secrets by key and by form, however deep; numbers such as `input_tokens` stay."""
    return {key: _redacted(value, key) for key, value in event.items()}


def _redacted(value: Any, key: object, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(key, str) and _SECRET_KEY.search(key):
        return MASK
    if isinstance(value, HttpRequest):  # Django's loggers attach it; its repr holds the query string
        return f"{value.method} {redacted(value.path)}"
    if isinstance(value, str):
        return redacted(value)
    if depth >= _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {inner: _redacted(item, inner, depth + 1) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item, None, depth + 1) for item in value]
    return redacted(str(value))


class StderrHandler(logging.StreamHandler[IO[str]]):
    """Writes to what `sys.stderr` is at the time, also after it was replaced."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> IO[str]:
        return sys.stderr

    @stream.setter
    def stream(self, _stream: IO[str]) -> None:
        raise AttributeError("the stream is always sys.stderr")
