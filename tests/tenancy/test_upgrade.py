"""A new version brings every App up to date: several at once, each for itself, and on from where it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, models
from django.db.migrations import AddField, Migration, RunPython
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from apps.agents.models import AgentVersion
from apps.tasks.models import Task, TaskStatus
from apps.tenancy import lifecycle
from apps.tenancy.connection import PUBLIC, connection, in_schema
from apps.tenancy.errors import AppsNotMigrated
from apps.tenancy.migrate import Plan
from apps.tenancy.models import App
from tests.support.database import APPS

pytestmark = pytest.mark.django_db(transaction=True)
NEW = ("tasks", "0999_colour")


def paint(models: Any, editor: Any) -> None:
    """Where there is a task called `spoiled`, it fails."""
    task = models.get_model("tasks", "Task")
    if task.objects.filter(agent="spoiled").exists():
        raise DatabaseError("this App is spoiled")
    task.objects.update(colour="red")


@pytest.fixture(params=[True, False], ids=["atomic", "step by step"])
def new_version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The code has a migration more: a column, and what is to be written into it."""
    load, former = MigrationLoader.load_disk, Plan().digest
    leaf = max(MigrationLoader(None).graph.leaf_nodes("tasks"))

    def with_one_more(loader: MigrationLoader) -> None:
        load(loader)
        added = Migration(NEW[1], NEW[0])
        added.atomic, added.dependencies = request.param, [leaf]
        column = AddField("task", "colour", models.CharField(max_length=9, default="none"))
        added.operations = [column, RunPython(paint, RunPython.noop)]
        loader.disk_migrations[NEW] = added

    monkeypatch.setattr(MigrationLoader, "load_disk", with_one_more)
    yield
    for schema in App.objects.filter(name__in=APPS).values_list("schema_name", flat=True):  # the others go anyway
        with in_schema(schema, include_public=False):
            MigrationExecutor(connection).migrate([leaf])
    with in_schema(PUBLIC):
        MigrationRecorder(connection).record_unapplied(*NEW)
    App.objects.update(migrations=former)


def colours(schema: str) -> list[str]:
    with in_schema(schema), connection.cursor() as cursor:
        cursor.execute("SELECT colour FROM tasks_task")
        return [colour for (colour,) in cursor.fetchall()]


def task(app: App, agent: str = "agent") -> None:
    with in_schema(app):
        version = AgentVersion.objects.create(digest="x" * 71, spec={})
        Task.objects.create(agent=agent, agent_version=version, input={}, status=TaskStatus.PENDING, max_retries=3)


@pytest.fixture
def spoiled() -> App:
    app = lifecycle.create("spoiled", by="tests")
    task(app, "spoiled")
    return app


@pytest.fixture
def several() -> list[App]:
    made = [lifecycle.create(f"one-{number}", by="tests") for number in range(3)]
    for app in made:
        task(app)
    return made


def test_every_app_gets_what_the_new_version_has(
    several: list[App], new_version: None, capsys: pytest.CaptureFixture[str]
) -> None:
    lifecycle.migrate_all(verbosity=1)
    assert [colours(app.schema_name) for app in several] == [["red"]] * 3
    assert set(App.objects.values_list("migrations", flat=True)) == {Plan().digest}
    told = [line for line in capsys.readouterr().out.splitlines() if " Apps: " in line]
    assert len(told) == App.objects.count() and told[-1].startswith(f"{len(told)} of {len(told)} Apps: ")
    lifecycle.migrate_all(verbosity=1)
    assert " Apps: " not in capsys.readouterr().out


@pytest.mark.parametrize("new_version", [True], indirect=True)
def test_one_that_cannot_be_migrated_keeps_no_other_back_and_is_tried_again(
    several: list[App], spoiled: App, new_version: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AppsNotMigrated, match=r"could not be migrated, as the log explains: spoiled$"):
        lifecycle.migrate_all()
    assert [colours(app.schema_name) for app in several] == [["red"]] * 3
    assert list(App.objects.exclude(migrations=Plan().digest)) == [spoiled]
    with in_schema(spoiled), connection.cursor() as cursor:
        cursor.execute("UPDATE tasks_task SET agent = 'fine'")
    lifecycle.migrate_all(verbosity=1)
    assert "1 of 1 Apps: spoiled" in capsys.readouterr().out
    assert colours(spoiled.schema_name) == ["red"]
