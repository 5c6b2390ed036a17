"""What can go wrong with Apps and their schemas. Each class has a stable `code`; its text says what to do."""

from __future__ import annotations

from django.db import DatabaseError, InterfaceError, OperationalError

_WAS_IDLE = "25P03"  # PostgreSQL has ended a transaction that did not go on; no OperationalError


def is_database_away(error: BaseException | None) -> bool:
    """Whether the database cannot do it now, whatever it is: it does not answer, has cut us off, or is full."""
    was_idle = isinstance(error, DatabaseError) and getattr(error.__cause__, "sqlstate", "") == _WAS_IDLE
    return was_idle or isinstance(error, OperationalError | InterfaceError)


class TenancyError(Exception):
    code = "tenancy_error"


class SwitchInTransaction(TenancyError):
    """The connection cannot go to another App inside a transaction: enter the App first, then begin."""

    code = "switch_in_transaction"

    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(
            f"cannot switch from {current} to {wanted} inside a transaction: enter the App first, then begin"
        )


class BadSchemaName(TenancyError):
    code = "bad_schema_name"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} cannot name an App's schema: use lower-case letters, digits and _, a letter first")


class SchemaExists(TenancyError):
    code = "schema_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"the schema {name} exists already")


class SchemaMissing(TenancyError):
    """The App has been deleted, or its file is not where the database URL says."""

    code = "schema_missing"

    def __init__(self, name: str) -> None:
        super().__init__(f"the schema {name} does not exist")


class BadAppName(TenancyError):
    code = "bad_app_name"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} cannot name an App: use lower-case letters, digits and hyphens, a letter first, at most 48"
        )


class AppExists(TenancyError):
    code = "app_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name} is taken by another App")


class AppNotFound(TenancyError):
    code = "app_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no App {name}")


class NoAppOfToken(TenancyError):
    code = "app_gone"

    def __init__(self, name: str | None) -> None:
        super().__init__(f"the token is for the App {name}, which does not exist (any more)")


class AppNotActive(TenancyError):
    code = "app_suspended"

    def __init__(self, name: str, status: str) -> None:
        super().__init__(f"the App {name} is {status}: its operator can say why")


class AppProtected(TenancyError):
    code = "app_protected"

    def __init__(self, name: str) -> None:
        super().__init__(f"the App {name} is always there and cannot be deleted")


class AppsNotMigrated(TenancyError):
    """The log says why. Nothing is wrong with the others; once the reason is gone, start again."""

    code = "apps_not_migrated"

    def __init__(self, names: list[str]) -> None:
        few = ", ".join(sorted(names)[:10])
        super().__init__(f"{len(names)} of the Apps could not be migrated, as the log explains: {few}")


class BadSecretName(TenancyError):
    code = "bad_secret_name"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} cannot name a secret: use letters, digits and _, at most 100, no digit first")
