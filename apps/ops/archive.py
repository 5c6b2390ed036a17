"""One App as a file: exported from one installation, imported into another, whichever database each has.

An archive holds every row of the App's own schema: its configuration with all revisions, agents, tasks with their
checkpoints, events and attempts, sessions, approvals, dead letters, deliveries. It is gzipped text, a JSON value a
line; the first line says what it is and the last one how much there was, so one that was cut off is noticed. Ids stay
the same.

It stands still meanwhile: only a suspended App of which nothing runs is exported, and what is imported is suspended.
Both sides must have the same migrations. What does not travel: the values of secrets, which are encrypted with the
installation's keys (import says which are wanted), tokens, people's roles, and the files of the App's tools.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from typing import IO, Any

import structlog
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.color import no_style
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import Field, Model

from apps.accounts import audit
from apps.queue import suspension
from apps.queue.models import QueueEntry
from apps.tasks import recovery
from apps.tenancy import lifecycle, secrets
from apps.tenancy.connection import connection
from apps.tenancy.context import in_app
from apps.tenancy.errors import AppExists, TenancyError
from apps.tenancy.migrate import Plan
from apps.tenancy.models import DEFAULT_APP, App
from hector_site import VERSION

FORMAT = "hector-app-1"
SETTINGS = ("display_name", "weight", "max_concurrent", "retention", "limits")
BATCH = 500
IMPORTING = "It is being imported. If no import runs any more, delete it and import it again."
log = structlog.get_logger(__name__)


class NotStill(TenancyError):
    """Something may change in the App while it is read."""

    code = "app_not_still"


class BadArchive(TenancyError):
    """The file is no archive that can be imported here."""

    code = "bad_archive"


@dataclass(frozen=True)
class Imported:
    app: App
    rows: int
    secrets: list[str]  # names that the App had, whose values have to be set again


# --- Out ------------------------------------------------------------------------------------------------------------
def export(app: App, file: IO[bytes], *, by: str) -> int:
    """Writes the archive; how many rows. Raises NotStill."""
    if app.status != App.Status.SUSPENDED:
        raise NotStill(f"the App {app.name} is not suspended: suspend it first (hector suspend_app {app.name})")
    if running := QueueEntry.objects.filter(app=app, state="leased").count():
        raise NotStill(f"{running} of the App {app.name} run on to their end: try again when they are over")
    head = {
        "format": FORMAT,
        "version": VERSION,
        "migrations": Plan.of_code().digest,
        "app": {"name": app.name} | {name: getattr(app, name) for name in SETTINGS},
        "secrets": secrets.names(app),
    }
    rows: Counter[str] = Counter()
    with gzip.open(file, "wt", encoding="utf-8") as text, in_app(app), _snapshot():
        _write(text, head)
        for label, model in _models().items():
            fields = _fields(model)
            for row in model._base_manager.order_by("pk").iterator(chunk_size=BATCH):
                _write(text, [label, {field.attname: _out(field, row) for field in fields}])
                rows[label] += 1
        _write(text, {"rows": rows})
    audit.record("app_exported", by=by, app_name=app.name, rows=rows.total())
    return rows.total()


@contextmanager
def _snapshot() -> Iterator[None]:
    """All that is read in the block is of one moment, and nobody has to wait for it (`atomic` would lock on SQLite)."""
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ" if connection.vendor == "postgresql" else "BEGIN"
    with connection.cursor() as cursor:
        cursor.execute(begin)
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def _out(field: Field[Any, Any], row: Model) -> Any:
    value = field.value_from_object(row)
    return value if isinstance(value, str | int | float | dict | list | None) else field.value_to_string(row)


def _write(text: IO[str], line: Any) -> None:
    text.write(json.dumps(line, cls=DjangoJSONEncoder) + "\n")


# --- In -------------------------------------------------------------------------------------------------------------
def restore(file: IO[bytes], *, by: str, name: str = "") -> Imported:
    """Makes a suspended App of the archive, of its own name or another one. A failure leaves nothing behind.

    `default`, which is always there, is filled if it has nothing yet. On SQLite, whoever wants to write waits until the
    import is over. Raises BadArchive, AppExists, BadAppName.
    """
    lines = _lines(file)
    head = _head(next(lines, None))
    app = _place(name or head["app"]["name"], by=by)
    try:
        suspension.suspend(app, by=by, reason=IMPORTING)
        with in_app(app), transaction.atomic():
            rows = _fill(lines)
            while recovery.repair(app).enqueued:
                pass  # some hundred at a time
            app = lifecycle.change(app, by=by, **{setting: head["app"][setting] for setting in SETTINGS})
            audit.record("app_imported", by=by, app_name=app.name, rows=rows, version=head["version"])
    except BaseException as error:  # a signal that ends the process, too: nothing half made stays
        _leave(app, by=by)
        if isinstance(error, DatabaseError):
            raise BadArchive(f"the database refuses what is in the archive: {error}") from error
        raise
    suspension.suspend(app, by=by, reason="Imported: set its secrets, then resume it.")
    log.info("app_imported", app=app.name, by=by, rows=rows)
    return Imported(app, rows, head["secrets"])


def _place(name: str, *, by: str) -> App:
    """An empty App. Raises AppExists, BadAppName."""
    if name != DEFAULT_APP:
        return lifecycle.create(name, by=by)
    with in_app(name) as app:
        if any(model._base_manager.exists() for model in _models().values()):
            raise AppExists(name)
    return app


def _leave(app: App, *, by: str) -> None:
    """Nothing was written into it."""
    if app.name == DEFAULT_APP:
        suspension.resume(app, by=by, reason="The import has failed.")
    else:
        lifecycle.delete(app, by=by)


def _lines(file: IO[bytes]) -> Iterator[Any]:
    try:
        with gzip.open(file, "rt", encoding="utf-8") as text:
            yield from map(json.loads, text)
    except (OSError, EOFError, ValueError) as error:
        raise BadArchive(f"the file is damaged, or no archive of an App: {error}") from error


def _head(line: Any) -> dict[str, Any]:
    if not isinstance(line, dict) or line.get("format") != FORMAT:
        raise BadArchive("this is no archive of an App")
    if line["migrations"] != Plan.of_code().digest:
        raise BadArchive(
            f"the archive was made by Hector {line['version']}, this is {VERSION}: both have to be the same"
        )
    return line


def _fill(lines: Iterable[Any]) -> int:
    """Inside the App and a transaction. How many rows."""
    models, rows = _models(), Counter[str]()
    for is_row, group in groupby(lines, lambda line: isinstance(line, list)):
        if not is_row:
            (foot, *more) = group
            if more or foot != {"rows": rows}:
                break
            _reset_sequences(list(models.values()))
            return rows.total()
        for label, of_model in groupby(group, lambda line: line[0]):
            if label not in models:
                raise BadArchive(f"the archive has rows of {label}, which are unknown here")
            rows[label] += _insert(models[label], (values for _, values in of_model))
    raise BadArchive("the archive was cut off: export the App again")


def _insert(model: type[Model], rows: Iterator[dict[str, Any]]) -> int:
    fields, number = _fields(model), 0
    while batch := list(islice(rows, BATCH)):
        model._base_manager.bulk_create([model(**_in(fields, values)) for values in batch])
        number += len(batch)
    return number


def _in(fields: list[Field[Any, Any]], values: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a row, as Python values."""
    if {field.attname for field in fields} != values.keys():
        raise BadArchive("the archive has rows with other columns than here")
    try:
        return {field.attname: _value(field, values[field.attname]) for field in fields}
    except ValidationError as error:
        raise BadArchive(f"the archive has a value that cannot be: {'; '.join(error.messages)}") from None


def _value(field: Field[Any, Any], value: Any) -> Any:
    return value if value is None or isinstance(value, dict | list) else field.to_python(value)


def _reset_sequences(models: list[type[Model]]) -> None:
    """New rows get ids after those that were imported. (SQLite sees to that by itself.)"""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)


# --- Both -----------------------------------------------------------------------------------------------------------
def _models() -> dict[str, type[Model]]:
    """Every model of an App's schema, by its label."""
    by_name = {config.name: config for config in apps.get_app_configs()}
    configs = [by_name[name] for name in settings.TENANT_APPS]
    return {model._meta.label: model for config in configs for model in config.get_models()}


def _fields(model: type[Model]) -> list[Field[Any, Any]]:
    return list(model._meta.concrete_fields)
