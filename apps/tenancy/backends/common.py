"""What both database backends share: the names of schemas and what happens to connections at a fork."""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager
from typing import Any, Protocol
from weakref import WeakSet

from apps.tenancy.errors import BadSchemaName, SwitchInTransaction

PUBLIC = "public"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Tenant(Protocol):
    """What `set_tenant` needs of an App."""

    schema_name: str


class NamedTenant:
    """Stands for an App of which only the schema is known (django-tenants' `FakeTenant`)."""

    def __init__(self, schema_name: str, tenant_type: str | None = None) -> None:
        self.schema_name = schema_name
        self.tenant_type = tenant_type

    def get_tenant_type(self) -> str | None:
        return self.tenant_type


class Schemas(Protocol):
    """`connection.schemas`: the schemas of a database, apart from what is in them.

    `create` and `copy` raise SchemaExists; `drop` of a schema that does not exist does nothing. All raise
    BadSchemaName. A schema that is copied or renamed must not be in use.
    `lock` is held by one process of the whole installation at a time, and is released when that process dies.
    A holder may take it again.
    """

    def create(self, name: str) -> None: ...
    def exists(self, name: str) -> bool: ...
    def drop(self, name: str) -> None: ...
    def copy(self, source: str, name: str) -> None: ...
    def rename(self, name: str, new: str) -> None: ...
    def names(self, prefix: str) -> list[str]: ...
    def lock(self) -> AbstractContextManager[None]: ...


def checked(name: str) -> str:
    """The name, if it can be a schema's. Raises BadSchemaName."""
    if not _NAME.fullmatch(name):
        raise BadSchemaName(name)
    return name


def checked_app_schema(name: str) -> str:
    """The name, if it can be the schema of an App: `public` cannot. Raises BadSchemaName."""
    if name == PUBLIC:
        raise BadSchemaName(name)
    return checked(name)


def refuse_switch(connection: Any, wanted: str) -> None:
    """Raises SwitchInTransaction if the connection is in a transaction."""
    if connection.in_atomic_block:
        raise SwitchInTransaction(connection.schema_name, wanted)


# A connection must not be used, nor even closed, by a forked child: closing a PostgreSQL connection there ends the
# parent's, and SQLite's locks belong to the process that took them. So a child forgets every connection that it
# inherits, without closing it, and opens its own on first use.
_wrappers: WeakSet[Any] = WeakSet()
_inherited: list[Any] = []  # keeps them from being closed by the garbage collector


def forget_at_fork(wrapper: Any) -> None:
    """Registers a DatabaseWrapper whose `forget()` returns its raw connections and drops them."""
    _wrappers.add(wrapper)


def _forget_all() -> None:
    for wrapper in list(_wrappers):
        _inherited.extend(wrapper.forget())


os.register_at_fork(after_in_child=_forget_all)
