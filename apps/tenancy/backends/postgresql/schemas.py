"""`connection.schemas` on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import ProgrammingError
from psycopg.errors import DuplicateSchema

from apps.tenancy.backends.common import checked_app_schema
from apps.tenancy.backends.postgresql import clone
from apps.tenancy.errors import SchemaExists

LOCK = 0x4865_6374_6F72  # "Hector": the key of the advisory lock
_RETRY_SECONDS = 0.05
_COPY = "__copy__"  # stands for the new schema's name: no schema is called so
_copies: dict[tuple[str, str], str] = {}  # SQL that copies a template, which never changes: by its name and database


class PostgresSchemas:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._locked = False

    def create(self, name: str) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(f'CREATE SCHEMA "{checked_app_schema(name)}"')
        except ProgrammingError as error:
            if isinstance(error.__cause__, DuplicateSchema):
                raise SchemaExists(name) from None
            raise

    def copy(self, source: str, name: str) -> None:
        key = (checked_app_schema(source), str(self._connection.settings_dict["NAME"]))
        checked_app_schema(name)
        with self._connection.cursor() as cursor:
            if key not in _copies:
                _copies[key] = clone.statements(cursor, source, _COPY)
            try:
                cursor.execute(_copies[key].replace(_COPY, name))
            except ProgrammingError as error:
                if isinstance(error.__cause__, DuplicateSchema):
                    raise SchemaExists(name) from None
                raise

    def rename(self, name: str, new: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(f'ALTER SCHEMA "{checked_app_schema(name)}" RENAME TO "{checked_app_schema(new)}"')

    def names(self, prefix: str) -> list[str]:
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s) ORDER BY 1", [prefix])
            return [name for (name,) in cursor.fetchall()]

    def exists(self, name: str) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [checked_app_schema(name)])
            return cursor.fetchone() is not None

    def drop(self, name: str) -> None:
        """Drops the schema with all that is in it, as soon as the transactions that are at work in it have ended."""
        with self._connection.cursor() as cursor:
            cursor.execute(f'DROP SCHEMA IF EXISTS "{checked_app_schema(name)}" CASCADE')

    @contextmanager
    def lock(self) -> Iterator[None]:
        """A session's advisory lock. It is asked for again and again, because a statement that waits for it holds a
        snapshot, on which the holder's `CREATE INDEX CONCURRENTLY` would wait in turn."""
        if self._locked:
            yield
            return
        while not self._call("pg_try_advisory_lock"):
            time.sleep(_RETRY_SECONDS)
        self._locked = True
        try:
            yield
        finally:
            self._locked = False
            self._call("pg_advisory_unlock")

    def _call(self, function: str) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(%s)", [LOCK])
            return bool(cursor.fetchone()[0])
