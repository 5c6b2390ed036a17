"""PostgreSQL with a schema per App: django-tenants' backend, with `connection.schemas` and stricter switching.

Entering an App sets `search_path = app schema, public` with the next query. It is refused inside a transaction, so
that the same code is right on SQLite, and so that a rollback never takes the search_path with it.
"""

from __future__ import annotations

from typing import Any

from django_tenants.postgresql_backend import base

from apps.tenancy.backends.common import Tenant, checked, forget_at_fork, refuse_switch
from apps.tenancy.backends.postgresql.schemas import PostgresSchemas


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # django-tenants is untyped
    connection: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.schemas = PostgresSchemas(self)
        forget_at_fork(self)

    def set_tenant(self, tenant: Tenant, include_public: bool = True) -> None:
        """Goes to the App's schema. Raises SwitchInTransaction."""
        schema = checked(tenant.schema_name)
        if (schema, include_public) == (self.schema_name, self.include_public_schema):
            self.tenant = tenant
            return
        if self.schema_name is not None:
            refuse_switch(self, schema)
        super().set_tenant(tenant, include_public)

    def set_settings_schema(self, schema_name: str) -> None:
        """Does nothing: the dictionary is shared by all threads, and nobody reads the schema from it."""

    def forget(self) -> list[Any]:
        """Drops the connection, and the pool it came from, without closing them (`apps.tenancy.backends.common`)."""
        left = [self.connection, *self._connection_pools.values()]
        self._connection_pools.clear()
        self.connection = None
        self.search_path_set_schemas = None
        return left
