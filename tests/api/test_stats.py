"""`GET /stats`: what of an App is under way."""

from __future__ import annotations

from apps.queue import leases, workers
from apps.tasks import lifecycle as tasks
from apps.tenancy.models import App
from apps.triggers.entry_points import lifecycle
from tests.api.conftest import Person
from tests.support.agents import submit
from tests.triggers.entry_points import entry, named, put


def test_what_is_under_way_is_counted_in_all_and_by_entry_point(app: App, viewer: Person, outsider: Person) -> None:
    put(app, report=entry(max_concurrent=1), quiet=entry())
    for _ in range(3):
        lifecycle.trigger(app, named("report"), by="anna")
    submit(app, "echo")
    worker = workers.register(slots=4)
    tasks.begin(app, leases.claim(worker.pk, 4), str(worker))
    found = viewer.get("/stats").json()
    quiet, report = found.pop("entry_points")
    assert found == {"pending": 2, "running": 2, "input_required": 0}
    assert 0 <= report.pop("idle_seconds") < 60
    none = {"pending": 0, "running": 0, "input_required": 0}
    assert report == {"id": "report", "max_concurrent": 1, **none, "pending": 2, "running": 1}
    assert quiet == {"id": "quiet", "max_concurrent": None, "idle_seconds": None, **none}
    assert outsider.get("/stats").json() == {**none, "entry_points": []}
