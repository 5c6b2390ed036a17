"""PostgreSQL with a schema per App: django-tenants' backend, with `connection.schemas` and stricter switching.

Entering an App sets `search_path = app schema, public` with the next query, unless the server has that path already.
It is refused inside a transaction, so that the same code is right on SQLite, and so that a rollback never takes the
search_path with it.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django_tenants.postgresql_backend import base

from apps.tenancy.backends.common import PUBLIC, Tenant, checked, forget_at_fork, refuse_switch
from apps.tenancy.backends.postgresql.schemas import PostgresSchemas

# The search_path that each raw connection is known to have, also while it lies in the pool.
_paths: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # django-tenants is untyped
    connection: Any
    search_path_set_schemas: list[str] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.schemas = PostgresSchemas(self)
        self._any_app_will_do = False
        forget_at_fork(self)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """One that works, as far as can be told without asking the server (`CONN_HEALTH_CHECKS` asks it each time)."""
        while True:
            raw = super().get_new_connection(conn_params)
            if self.pool is None or not _has_news(raw):
                return raw
            raw.close()
            self.pool.putconn(raw)  # which makes another one in its place

    def _configure_connection(self, connection: Any) -> bool:
        """Tells the server when to end a transaction that does not go on (`hector_site.database`)."""
        commit = bool(super()._configure_connection(connection))
        if seconds := self.settings_dict.get("LONGEST_IDLE"):
            connection.execute(f"SET idle_in_transaction_session_timeout = {int(seconds * 1000)}")
            commit = True
        return commit

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

    @contextmanager
    def shared_tables_only(self) -> Iterator[None]:
        """For statements that name nothing but tables of the shared schema: any App's search_path is right for them."""
        before, self._any_app_will_do = self._any_app_will_do, True
        try:
            yield
        finally:
            self._any_app_will_do = before

    def _handle_search_path(self, cursor: Any = None) -> None:
        path = _paths.get(self.connection)
        if path is not None and self.search_path_set_schemas is None and not self._setting_search_path:
            if self._any_app_will_do and path[-1] == PUBLIC:
                return
            if path == self._get_cursor_search_paths():
                self.search_path_set_schemas = path
        super()._handle_search_path(cursor)
        if self.connection is None:
            return
        if self.search_path_set_schemas is None:
            _paths.pop(self.connection, None)
        else:
            _paths[self.connection] = self.search_path_set_schemas

    def rollback(self) -> None:
        _paths.pop(self.connection, None)  # it may have been set in this transaction
        super().rollback()

    def savepoint_rollback(self, sid: str) -> None:
        _paths.pop(self.connection, None)
        super().savepoint_rollback(sid)

    def forget(self) -> list[Any]:
        """Drops the connection, and the pool it came from, without closing them (`apps.tenancy.backends.common`)."""
        left = [self.connection, *self._connection_pools.values()]
        self._connection_pools.clear()
        self.connection = None
        self.search_path_set_schemas = None
        return left


def _has_news(raw: Any) -> bool:
    """Whether the server has said something unasked: most likely that it has ended the connection."""
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    return bool(poll.poll(0))
