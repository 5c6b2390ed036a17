"""Django's `DATABASES` entry from a database URL.

`sqlite://.hector/hector.db` (a path relative to the current directory) or `sqlite:///abs/path.db`;
`postgres://user:password@host:port/name?sslmode=require`, also with a socket directory as `?host=/run/postgresql`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from hector_site.env import BadSetting

FORMS = "write sqlite://path/to/hector.db or postgres://user:password@host:5432/name"


def masked(url: str) -> str:
    """The URL as it may be shown: its password replaced."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", re.sub(r"(password=)[^&]*", r"\1***", url))


def from_url(url: str, *, pool_size: int = 0, longest_idle: float = 0) -> dict[str, Any]:
    """The settings of Django's `default` database. Raises BadSetting, without the password, for a bad URL.

    After `longest_idle` seconds PostgreSQL ends a transaction in which nothing happens: what a process that froze, or
    whose host is gone, has locked is free again. 0: never.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadSetting(f"the database URL cannot be read: {FORMS}") from None
    if parts.scheme in ("sqlite", "sqlite3"):
        return _sqlite(parts.netloc + parts.path)
    if parts.scheme in ("postgres", "postgresql"):
        options: dict[str, Any] = {"connect_timeout": "5"} | dict(parse_qsl(parts.query))
        name = unquote(parts.path.lstrip("/"))
        if not name:
            raise BadSetting(f"the database URL {masked(url)} names no database: {FORMS}")
        entry = {
            "ENGINE": "apps.tenancy.backends.postgresql",
            "NAME": name,
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": options.pop("host", "") or unquote(parts.hostname or ""),
            "PORT": str(port or options.pop("port", "")),
            "CONN_MAX_AGE": None,
            "CONN_HEALTH_CHECKS": True,
            "LONGEST_IDLE": longest_idle,
            "OPTIONS": options,
        }
        if pool_size:
            # A short reconnect_timeout, after which the next request tries anew: the pool's own pause between tries
            # doubles, and would outlast a long outage by as much again.
            entry["CONN_MAX_AGE"] = 0
            entry["CONN_HEALTH_CHECKS"] = False  # the backend looks at what it takes from the pool
            options["pool"] = {"min_size": 1, "max_size": pool_size, "timeout": 10, "reconnect_timeout": 5}
        return entry
    raise BadSetting(f"the database URL {masked(url)} is of an unknown kind: {FORMS}")


def _sqlite(path: str) -> dict[str, Any]:
    if not path:
        raise BadSetting(f"the database URL names no file: {FORMS}")
    return {
        "ENGINE": "apps.tenancy.backends.sqlite",
        "NAME": str(Path(path).absolute()),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
