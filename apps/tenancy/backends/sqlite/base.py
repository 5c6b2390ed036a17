"""SQLite with a schema per App, behind django-tenants' connection interface.

One file per App beside the shared file. In an App the connection's main database is the App's file and the shared
file is attached as `public`, so an unqualified table name means the App's table first and the shared one second, as
with PostgreSQL's search_path; new tables are made in the App. In the public schema, main is the shared file.

What it promises, and where it ends:
- A transaction spans both files: rollback undoes both. A commit is durable in each file but not in the pair: killed
  in the middle, the App's file (committed first) has the transaction and the shared one does not.
- `BEGIN IMMEDIATE` takes the write lock of both files, so transactions in Apps wait for one another.
- A foreign key from an App's table to a shared table cannot be enforced: give it `db_constraint=False`.
- `synchronous=NORMAL`: a crash of the process loses nothing; a power cut may lose the last commits, never integrity.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base

from apps.tenancy.backends.common import PUBLIC, NamedTenant, Tenant, checked, forget_at_fork, refuse_switch
from apps.tenancy.backends.sqlite import files
from apps.tenancy.backends.sqlite.idle import Key, RawConnection, idle
from apps.tenancy.backends.sqlite.introspection import DatabaseIntrospection
from apps.tenancy.errors import SchemaMissing


class DatabaseWrapper(base.DatabaseWrapper):
    introspection_class = DatabaseIntrospection

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        self.tenant: Tenant = NamedTenant(PUBLIC)
        self.schema_name = PUBLIC
        self.include_public_schema = True
        self.schemas = files.FileSchemas(self)
        forget_at_fork(self)

    # --- django-tenants' interface ---------------------------------------------------------------------------------

    def set_tenant(self, tenant: Tenant, include_public: bool = True) -> None:
        """Goes to the App's schema. Raises SwitchInTransaction; SchemaMissing comes with the first query."""
        schema = checked(tenant.schema_name)
        if (schema, include_public) != (self.schema_name, self.include_public_schema):
            refuse_switch(self, schema)
            self.validate_thread_sharing()
            self._park()
            self.schema_name, self.include_public_schema = schema, include_public
            self.connection = idle.take(self._key())
        self.tenant = tenant
        self._drop_stale()

    def set_schema(self, schema_name: str, include_public: bool = True, tenant_type: str | None = None) -> None:
        self.set_tenant(NamedTenant(schema_name, tenant_type), include_public)

    def set_schema_to_public(self) -> None:
        self.set_schema(PUBLIC)

    def shared_tables_only(self) -> AbstractContextManager[None]:
        """Changes nothing here: going to another schema asks nobody."""
        return nullcontext()

    # --- connections -----------------------------------------------------------------------------------------------

    def get_connection_params(self) -> dict[str, Any]:
        return super().get_connection_params() | {"factory": RawConnection}

    def get_new_connection(self, conn_params: dict[str, Any]) -> RawConnection:
        shared = Path(conn_params["database"])
        if not shared.exists():
            with suppress(FileExistsError):  # another process was first
                files.create(shared)
        path = files.path_of(str(shared), self.schema_name)
        identity = files.identity(path)
        if identity is None:
            raise SchemaMissing(self.schema_name)
        raw: RawConnection = super().get_new_connection(conn_params | {"database": _uri(path)})
        raw.identity = identity
        raw.execute("PRAGMA main.journal_mode = WAL")
        raw.execute("PRAGMA main.synchronous = NORMAL")
        if self.schema_name != PUBLIC and self.include_public_schema:
            raw.execute("ATTACH ? AS public", [_uri(shared)])
            raw.execute("PRAGMA public.synchronous = NORMAL")
        return raw

    def close(self) -> None:
        """Closes the connection in use, and the idle ones of the same database."""
        super().close()
        idle.close(self.settings_dict["NAME"])

    def leave(self, schema: str) -> None:
        """Closes what this wrapper, or nobody, uses of an App's file."""
        idle.close(self.settings_dict["NAME"], schema)
        if self.schema_name == schema:
            refuse_switch(self, PUBLIC)
            super().close()

    def forget(self) -> list[RawConnection]:
        """In a forked child: lets go of the connection without closing it (`apps.tenancy.backends.common`)."""
        raw, self.connection = self.connection, None
        return [] if raw is None else [raw]

    def _key(self) -> Key:
        return Key(self.settings_dict["NAME"], self.schema_name, self.include_public_schema)

    def _park(self) -> None:
        """Gives the connection in use to whoever needs it next, unless its state is not that of a new one."""
        if self.connection is None:
            return
        if self.get_autocommit():
            idle.put(self._key(), self.connection)
            self.connection = None
        else:
            super().close()

    def _drop_stale(self) -> None:
        """Closes the connection if its file was deleted, or deleted and made again, since it was opened."""
        if self.connection is None or self.in_atomic_block:
            return
        path = files.path_of(self.settings_dict["NAME"], self.schema_name)
        if self.connection.identity != files.identity(path):
            super().close()


def _uri(path: Path) -> str:
    """Opens the file for writing but does not make it: a missing App must not come back as an empty one."""
    return f"{path.absolute().as_uri()}?mode=rw"
