"""Small words for the SQL that the ORM cannot say, the same on both engines.

Statements use `%s` parameters. Values go in through `dt`, `uid` and `js`, and come out through `as_uuid`.
Instants come from the database's clock (`now`), so hosts whose clocks differ agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

_NUL = re.compile(r"((?<!\\)(?:\\\\)*)\\u0000")  # escaped as JSON does, and not a text that only looks like it
_HALF = re.compile(r"[\ud800-\udfff]")


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def now() -> str:
    """The SQL of the present instant."""
    return "STATEMENT_TIMESTAMP()" if is_postgresql() else "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')"


def epoch() -> str:
    """The SQL of the whole seconds from 1970 until the present instant."""
    if is_postgresql():
        return f"FLOOR(EXTRACT(EPOCH FROM {now()}))::bigint"
    return f"CAST(STRFTIME('%%s', {now()}) AS INTEGER)"


def instant() -> datetime:
    """The present instant, by the database's clock."""
    [(value,)] = fetch(f"SELECT {now()}")
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)


def later(seconds: str = "%s") -> str:
    """The SQL of an instant so many seconds from now (which may be negative, or null: then so is the instant)."""
    if is_postgresql():
        return f"STATEMENT_TIMESTAMP() + {seconds} * INTERVAL '1 second'"
    return f"STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', {seconds} || ' seconds')"


def seconds_since(instant: str) -> str:
    """The SQL of the seconds from an instant until now; negative for one to come."""
    if is_postgresql():
        return f"EXTRACT(EPOCH FROM {now()} - {instant})::float8"
    return f"((JULIANDAY('NOW') - JULIANDAY({instant})) * 86400.0)"


def greatest(*terms: str) -> str:
    return f"{'GREATEST' if is_postgresql() else 'MAX'}({', '.join(terms)})"


def least(*terms: str) -> str:
    return f"{'LEAST' if is_postgresql() else 'MIN'}({', '.join(terms)})"


def dt(value: datetime | None) -> Any:
    return connection.ops.adapt_datetimefield_value(value)


def uid(value: UUID) -> Any:
    return value if connection.features.has_native_uuid_field else value.hex


def as_uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(hex=value)


def js(value: Any) -> str:
    """JSON text for a JSONField column. What PostgreSQL cannot store in one (NUL, half a surrogate pair) becomes �."""
    text = json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
    if "\\u0000" in text:
        text = _NUL.sub(r"\1�", text)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _HALF.sub("�", text)
    return text


def execute(statement: str, params: Sequence[Any] = ()) -> int:
    """Runs one statement; the number of rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return int(cursor.rowcount)


def batch(columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """The SQL that a statement begins with to see the rows (at least one) as a table named `batch`, and its values.

    `columns` are the names and PostgreSQL types of the batch's columns; SQLite has no use for the types. One statement
    over many rows costs the server one parse and one plan, and the connection one round trip.
    """
    types = [f"%s::{kind}" for kind in columns.values()] if is_postgresql() else ["%s"] * len(columns)
    following = f", ({placeholders(len(columns))})" * (len(rows) - 1)
    values = f"VALUES ({', '.join(types)}){following}"  # the first row's types are those of all
    return f"WITH batch ({', '.join(columns)}) AS ({values})", [value for row in rows for value in row]


def execute_batch(columns: Mapping[str, str], rows: Iterable[Sequence[Any]], statement: str) -> int:
    """Runs one statement that sees the rows as a table named `batch`; the number of rows it touched."""
    rows = list(rows)
    if not rows:
        return 0
    beginning, values = batch(columns, rows)
    touched = execute(f"{beginning} {statement}", values)
    # Python's sqlite3 does not count the rows of a statement that begins with WITH.
    return touched if is_postgresql() else int(fetch("SELECT CHANGES()")[0][0])


def fetch_batch(columns: Mapping[str, str], rows: Iterable[Sequence[Any]], statement: str) -> list[tuple[Any, ...]]:
    """As `execute_batch`, of a statement that returns rows."""
    rows = list(rows)
    if not rows:
        return []
    beginning, values = batch(columns, rows)
    return fetch(f"{beginning} {statement}", values)


def fetch(statement: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Runs one statement that returns rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return list(cursor.fetchall())


def placeholders(count: int) -> str:
    return ", ".join(["%s"] * count)
