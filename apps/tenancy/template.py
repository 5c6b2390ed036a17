"""The template that new Apps are copied from: an empty schema with every migration that the code knows.

Copying it is several times as fast as running the migrations (`make bench`, create-app). It is made by running them,
once for each state of the code, and named after that state, so that two versions side by side each have their own.
"""

from __future__ import annotations

from apps.tenancy.connection import connection
from apps.tenancy.migrate import Plan, migrate_app

PREFIX = "hector_template_"  # whatever else is in the database has another name
DRAFT = f"{PREFIX}draft"


def copy_to(schema: str) -> str:
    """Makes an App's schema, with every migration; their digest. To be called with the lock on schemas held."""
    digest = Plan.of_code().digest
    connection.schemas.copy(_current(digest), schema)
    return digest


def _current(digest: str) -> str:
    """The name of the template, which is made if it is not there. It appears whole: a draft takes its name."""
    name = f"{PREFIX}{digest[:24]}"
    if not connection.schemas.exists(name):
        connection.schemas.drop(DRAFT)  # a killed process left it
        connection.schemas.create(DRAFT)
        migrate_app(DRAFT)
        connection.schemas.rename(DRAFT, name)
    return name


def drop_others() -> None:
    """Drops the templates of other states of the code. To be called with the lock on schemas held."""
    current = f"{PREFIX}{Plan.of_code().digest[:24]}"
    for name in connection.schemas.names(PREFIX):
        if name != current:
            connection.schemas.drop(name)
