"""The tests' own promise: what a test commits, the next one does not see."""

from __future__ import annotations

from uuid import uuid4

import pytest

from apps.accounts.models import User
from apps.agents.models import Revision
from apps.queue.models import QueueControl, QueueEntry
from apps.tenancy import lifecycle, secrets
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from tests.support import database


@pytest.mark.django_db(transaction=True)
def test_what_a_test_has_committed_is_undone() -> None:
    made = lifecycle.create("made", by="tests")
    App.objects.update(weight=5, max_concurrent=1, status=App.Status.SUSPENDED)
    User.objects.create_superuser("somebody", password="secret")
    secrets.put(made, "KEY", "value")
    QueueControl.objects.update(paused=True)
    for name in ("acme", "globex", "default"):
        with in_app(name) as app:
            QueueEntry.objects.create(app=app, key=uuid4())
            Revision.objects.create(number=1, document={})
    database.restore()
    assert set(App.objects.values_list("name", "weight", "status")) == {
        (name, 1, "active") for name in ("acme", "globex", "default")
    }
    assert not User.objects.exists()
    assert not QueueEntry.objects.exists()
    assert not QueueControl.objects.get().paused
    for name in ("acme", "globex", "default"):
        with in_app(name):
            assert not Revision.objects.exists()
