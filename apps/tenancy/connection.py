"""Django's connection, typed with what Hector's backends add to it, and the way from one schema to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, cast

from django.db import connection as django_connection

from apps.tenancy.backends.common import PUBLIC, NamedTenant, Schemas, Tenant

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    class AppConnection(BaseDatabaseWrapper):
        tenant: Tenant
        schema_name: str
        include_public_schema: bool
        schemas: Schemas

        def set_tenant(self, tenant: Tenant, include_public: bool = True) -> None: ...
        def set_schema(self, schema_name: str, include_public: bool = True) -> None: ...
        def shared_tables_only(self) -> AbstractContextManager[None]: ...


connection = cast("AppConnection", django_connection)


@contextmanager
def in_schema(tenant: Tenant | str, *, include_public: bool = True) -> Iterator[None]:
    """Runs the block in a schema and goes back to where it was. Raises SwitchInTransaction."""
    before, before_public = connection.tenant, connection.include_public_schema
    connection.set_tenant(NamedTenant(tenant) if isinstance(tenant, str) else tenant, include_public)
    try:
        yield
    finally:
        connection.set_tenant(before, before_public)


__all__ = ["PUBLIC", "connection", "in_schema"]
