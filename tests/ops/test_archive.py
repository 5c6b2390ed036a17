"""An App goes from one installation to another in a file, with all that it has, whichever database each has."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import AuditRecord
from apps.ops import archive
from apps.ops.archive import BadArchive, NotStill
from apps.queue import holds, leases, suspension, workers
from apps.queue.models import QueueEntry
from apps.tasks.integrity import complaints
from apps.tasks.models import Event, Task, TaskStatus
from apps.tenancy import lifecycle, secrets
from apps.tenancy.connection import connection
from apps.tenancy.context import in_app
from apps.tenancy.errors import AppExists
from apps.tenancy.models import App
from tests.agents.test_config_commands import run
from tests.support import agents
from tests.support.installation import Installation
from tests.support.traces import fill
from tests.support.work import ended, working

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def still(settings: Any) -> App:
    """`acme` with something of everything, suspended."""
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    app = lifecycle.get("acme")
    fill(app)
    lifecycle.change(app, by="tests", weight=3, display_name="Acme", retention={"tasks": 90.0})
    suspension.suspend(app, by="tests")
    return lifecycle.get("acme")


def exported(app: App) -> bytes:
    file = BytesIO()
    archive.export(app, file, by="olga")
    return file.getvalue()


def lines(archived: bytes) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(archived).splitlines()]


def archive_of(made: list[Any]) -> BytesIO:
    return BytesIO(gzip.compress("".join(json.dumps(line) + "\n" for line in made).encode()))


def test_an_app_is_the_same_after_the_journey_and_goes_on(still: App) -> None:
    with in_app(still):
        pending = agents.submit(still, "agent", "still to do")
    archived = exported(still)
    made = archive.restore(BytesIO(archived), by="olga", name="copy")
    assert (made.app.weight, made.app.display_name, made.app.retention) == (3, "Acme", {"tasks": 90.0})
    assert made.secrets == ["KEY"] and secrets.names(made.app) == []
    assert lines(exported(made.app))[1:] == lines(archived)[1:]
    assert [fault for fault in complaints(made.app) if "gap" not in fault] == []
    assert made.app.status == "suspended"
    waiting = QueueEntry.objects.filter(app=made.app)
    assert waiting.get(key=pending.pk).state == "parked" and set(waiting.values_list("state", flat=True)) == {"parked"}
    suspension.resume(made.app, by="olga")
    with in_app(made.app), working():
        assert ended(Task.objects.get(pk=pending.pk)).status == TaskStatus.COMPLETED
        assert Event.objects.filter(task=pending).order_by("-pk")[0].type == "execution_completed"


def test_who_exported_and_imported_is_in_the_audit_trail_and_no_secret_in_the_file(still: App) -> None:
    secrets.put(still, "KEY", "the-value")
    archived = exported(still)
    assert b"KEY" in gzip.decompress(archived) and b"the-value" not in gzip.decompress(archived)
    archive.restore(BytesIO(archived), by="otto", name="copy")
    trail = AuditRecord.objects.filter(action__contains="ported").order_by("pk")
    assert list(trail.values_list("actor", "action", "app_name")) == [
        ("olga", "app_exported", "acme"),
        ("otto", "app_imported", "copy"),
    ]


def test_an_app_that_may_change_is_not_exported(still: App) -> None:
    suspension.resume(still, by="tests")
    with pytest.raises(NotStill):
        exported(lifecycle.get("acme"))
    holds.lift(still, "agent", by="tests")
    assert leases.claim(workers.register(slots=1).pk, 1)
    suspension.suspend(still, by="tests")
    with pytest.raises(NotStill):
        exported(lifecycle.get("acme"))


def test_a_name_that_is_taken_is_refused(still: App) -> None:
    archived = exported(still)
    for name in ("", "globex"):
        with pytest.raises(AppExists):
            archive.restore(BytesIO(archived), by="olga", name=name)


def test_the_default_app_takes_an_archive_while_it_has_nothing(still: App) -> None:
    archived = exported(still)
    with pytest.raises(BadArchive):
        archive.restore(archive_of(lines(archived)[:-1]), by="olga", name="default")
    assert lifecycle.get("default").status == "active"
    made = archive.restore(BytesIO(archived), by="olga", name="default").app
    assert lines(exported(made))[1:] == lines(archived)[1:]
    with pytest.raises(AppExists):
        archive.restore(BytesIO(archived), by="olga", name="default")
    assert lifecycle.get("default").status == "suspended"


SPOILED: dict[str, Callable[[list[Any]], Any]] = {
    "cut off": lambda made: made[:-1],
    "a row is missing": lambda made: made[:1] + made[2:],
    "rows that nobody knows": lambda made: [made[0], ["tasks.Unheard", {}], *made[1:]],
    "other columns": lambda made: [made[0], ["tasks.Task", {"id": "1"}], *made[1:]],
    "a row twice": lambda made: [made[0], made[1], *made[1:-1], {"rows": {**made[-1]["rows"], made[1][0]: 2}}],
    "no time": lambda made: [made[0], [made[1][0], {**made[1][1], "created_at": "yesterday"}], *made[2:]],
    "another version": lambda made: [{**made[0], "migrations": "of another"}, *made[1:]],
    "something else": lambda made: [{"hello": "world"}],
    "nothing": lambda made: [],
}


@pytest.mark.parametrize("fault", SPOILED)
def test_a_file_that_is_not_whole_leaves_nothing_behind(fault: str, still: App) -> None:
    with pytest.raises(BadArchive):
        archive.restore(archive_of(SPOILED[fault](lines(exported(still)))), by="olga", name="copy")
    assert not App.objects.filter(name="copy").exists()
    assert not connection.schemas.exists(lifecycle.schema_of("copy"))


@pytest.mark.parametrize("damaged", [b"", b"no gzip", b"cut"])
def test_a_damaged_file_is_refused(damaged: bytes, still: App) -> None:
    whole = exported(still)
    with pytest.raises(BadArchive):
        archive.restore(BytesIO(whole[: len(whole) // 2] if damaged == b"cut" else damaged), by="olga", name="copy")
    assert not App.objects.filter(name="copy").exists()


def test_an_app_goes_from_one_engine_to_the_other_and_back(still: App, on_postgresql: bool, tmp_path: Path) -> None:
    if not on_postgresql:
        pytest.skip("shown on PostgreSQL, with SQLite as the other side")
    there, archived = Installation.at(tmp_path, f"sqlite://{tmp_path}/hector.db"), exported(still)
    with there.inside():
        lifecycle.migrate_all()
        moved = archive.restore(BytesIO(archived), by="olga").app
        assert [fault for fault in complaints(moved) if "gap" not in fault] == []
        back = exported(moved)
    assert lines(back)[1:] == lines(archived)[1:]
    made = archive.restore(BytesIO(back), by="olga", name="back").app
    assert lines(exported(made))[1:] == lines(archived)[1:]
    with in_app(made):
        assert agents.submit(made, "agent").pk, "ids of new rows come after those that were imported"


def test_an_app_moves_by_two_commands(still: App, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "acme.hector"
    code, said, _ = run(capsys, "export_app", "acme", "--output", str(file))
    assert code == 0 and f"The App acme is in {file}" in said
    assert file.stat().st_mode & 0o077 == 0
    assert run(capsys, "export_app", "acme", "--output", str(file))[0] == 2, "what is there is not written over"
    code, said, _ = run(capsys, "import_app", str(file), "--name", "copy")
    assert code == 0 and "Set its secrets: KEY." in said and "hector resume_app copy" in said
    assert run(capsys, "import_app", str(tmp_path / "nothing"))[0] == 2
    suspension.resume(still, by="tests")
    refused = run(capsys, "export_app", "acme", "--output", str(tmp_path / "again"))
    assert refused[0] == 1 and "suspend_app acme" in refused[2] and not (tmp_path / "again").exists()
