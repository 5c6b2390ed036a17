"""Apps come and go, wholly or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connections, transaction

from apps.agents.models import Revision
from apps.queue.models import QueueEntry
from apps.tenancy import lifecycle, paths, secrets
from apps.tenancy.connection import connection, in_schema
from apps.tenancy.context import in_app
from apps.tenancy.errors import AppExists, AppNotFound, AppProtected, BadAppName, SwitchInTransaction
from apps.tenancy.models import App
from apps.tenancy.paths import workdir

pytestmark = pytest.mark.django_db(transaction=True)


def run_in_thread(work: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_new_app_can_be_used_at_once() -> None:
    made = lifecycle.create("new-one", by="operator", weight=3, max_concurrent=5, display_name="New")
    found = lifecycle.get("new-one")
    assert (found.pk, found.weight, found.max_concurrent, str(found)) == (made.pk, 3, 5, "New")
    assert made.created_at == found.created_at
    with in_app("new-one"):
        Revision.objects.create(number=1, document={})
        assert Revision.objects.count() == 1


def test_creating_an_app_from_inside_another_one_stays_there() -> None:
    with in_app("acme"):
        lifecycle.create("new-one", by="operator")
        assert connection.schema_name == "app_acme"


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(AppExists):
        lifecycle.create("acme", by="operator")
    assert connection.schemas.exists("app_acme")


@pytest.mark.parametrize("name", ["", "Acme", "1st", "a_b", "a b", "a/b", "é", "a" * 49, "a\n", "-a"])
def test_a_name_that_is_no_slug_is_refused(name: str) -> None:
    with pytest.raises(BadAppName):
        lifecycle.create(name, by="operator")


def test_two_names_never_share_a_schema() -> None:
    lifecycle.create("a-b", by="operator")
    lifecycle.create("ab", by="operator")
    lifecycle.create("a--b", by="operator")
    assert App.objects.filter(name__startswith="a").exclude(name="acme").values("schema_name").distinct().count() == 3


def test_a_creation_that_fails_half_way_leaves_nothing() -> None:
    App.objects.create(name="squatter", schema_name="app_clash")
    with pytest.raises(IntegrityError):
        lifecycle.create("clash", by="operator")
    assert not connection.schemas.exists("app_clash")
    with pytest.raises(AppNotFound):
        lifecycle.get("clash")


def test_what_a_killed_creation_left_behind_is_no_obstacle() -> None:
    connection.schemas.create("app_left")
    with in_schema("app_left"), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE agents_revision (number INT)")
    lifecycle.create("left", by="operator")
    with in_app("left"):
        assert not Revision.objects.exists()


def test_an_app_cannot_be_made_in_a_transaction() -> None:
    with pytest.raises(SwitchInTransaction), transaction.atomic():
        lifecycle.create("new-one", by="operator")
    assert not App.objects.filter(name="new-one").exists()


def test_of_two_who_create_the_same_app_one_succeeds() -> None:
    outcomes: list[str] = []

    def create() -> None:
        try:
            lifecycle.create("wanted", by="operator")
            outcomes.append("made")
        except AppExists:
            outcomes.append("taken")

    for thread in [run_in_thread(create) for _ in range(3)]:
        thread.join()
    assert sorted(outcomes) == ["made", "taken", "taken"]


def test_a_deleted_app_leaves_no_trace_and_its_name_can_be_used_again() -> None:
    app = lifecycle.create("gone", by="operator")
    keeper = lifecycle.get("acme")
    for one in (app, keeper):
        secrets.put(one, "KEY", "value")
        QueueEntry.objects.create(app=one, key=uuid4())
        with in_app(one):
            Revision.objects.create(number=1, document={})
        (workdir(one) / "file").write_text("content")
    lifecycle.delete(app, by="operator")
    assert not connection.schemas.exists(app.schema_name)
    assert not list(workdir(app).iterdir())
    assert list(workdir(keeper).iterdir())
    assert list(QueueEntry.objects.values_list("app", flat=True)) == [keeper.pk]
    with pytest.raises(AppNotFound):
        lifecycle.get("gone")

    again = lifecycle.create("gone", by="operator")
    assert secrets.names(again) == []
    with in_app(again):
        assert not Revision.objects.exists()
    with in_app(keeper):
        assert Revision.objects.count() == 1


def test_an_app_that_others_have_open_can_be_deleted() -> None:
    app = lifecycle.create("busy", by="operator")
    inside, deleted = threading.Event(), threading.Event()
    seen: list[object] = []

    def stay() -> None:
        with in_app(app):
            Revision.objects.create(number=1, document={})
            inside.set()
            assert deleted.wait(10)
            seen.append(App.objects.filter(name="busy").exists())

    thread = run_in_thread(stay)
    assert inside.wait(10)
    lifecycle.delete(app, by="operator")
    deleted.set()
    thread.join()
    assert seen == [False]
    assert not connection.schemas.exists("app_busy")


def test_the_app_that_one_is_inside_can_be_deleted() -> None:
    app = lifecycle.create("here", by="operator")
    with in_app(app):
        Revision.objects.create(number=1, document={})
        lifecycle.delete(app, by="operator")
    assert not App.objects.filter(name="here").exists()


def test_the_default_app_cannot_be_deleted() -> None:
    default = lifecycle.get("default")
    with pytest.raises(AppProtected):
        lifecycle.delete(default, by="operator")
    assert lifecycle.get("default").status == App.Status.ACTIVE


def test_an_app_that_is_being_deleted_is_not_found() -> None:
    app = lifecycle.create("going", by="operator")
    App.objects.filter(pk=app.pk).update(status=App.Status.DELETING)
    with pytest.raises(AppNotFound), in_app("going"):
        pass


def test_an_app_has_a_directory_of_its_own_closed_to_others(app: App, other_app: App) -> None:
    path = workdir(app)
    assert path.is_dir()
    assert path.stat().st_mode & 0o077 == 0
    assert workdir(app) == path != workdir(other_app)


def test_an_app_never_finds_the_files_of_a_former_one_of_its_name() -> None:
    former = lifecycle.create("again", by="operator")
    (workdir(former) / "file").write_text("content")
    lifecycle.delete(former, by="operator")
    workdir(former).mkdir(exist_ok=True)  # as on a host that has not heard of it yet
    assert workdir(lifecycle.create("again", by="operator")) != workdir(former)


def test_each_host_removes_what_it_has_of_deleted_apps_and_nothing_else(settings: Any, tmp_path: Path) -> None:
    deleted, kept = lifecycle.create("gone", by="operator"), lifecycle.get("acme")
    lifecycle.delete(deleted, by="operator")
    settings.HECTOR_WORK_DIR = tmp_path / "another host"
    assert paths.remains() == []
    for one in (deleted, kept):
        (workdir(one) / "file").write_text("content")
    (tmp_path / "another host" / "of nobody").mkdir()
    paths.remove(paths.remains())
    assert {path.name for path in (tmp_path / "another host").iterdir()} == {workdir(kept).name, "of nobody"}
