"""The pages of an App: its settings, suspending it and letting it go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.queue import leases, workers
from apps.queue.models import Hold, QueueEntry
from apps.tenancy import lifecycle
from apps.tenancy.models import App
from tests.support import agents

Read = Callable[[str], str]
pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/platform/apps/acme/"


def test_an_app_is_suspended_for_a_reason_and_goes_on(console: Client, configured: App, read: Read) -> None:
    task = agents.submit(configured, "echo")
    said = read(f"{PAGE}suspend/")
    assert "its API answers 403. 0 tasks run on to their end; 1 waits." in said
    assert App.objects.get(name="acme").status == "active"
    console.post(f"{PAGE}suspend/", {"app": "acme", "reason": "unpaid"})
    page = read(PAGE)
    assert "Suspended by olga" in page and "unpaid" in page and f"{PAGE}reactivate/" in page
    assert "Suspended" in read("/admin/platform/apps/")
    assert "Parked: the App acme is suspended, by olga" in read(f"/admin/tasks/{task.pk}/")
    assert "what waits may start in its order: 1." in read(f"{PAGE}reactivate/")
    answer: Any = console.post(f"{PAGE}reactivate/", {"app": "acme"}, follow=True)
    assert "The App acme is active again: 1 may start." in answer.content.decode()
    assert not Hold.objects.exists()


def test_the_settings_of_an_app_are_changed(console: Client, configured: App, read: Read) -> None:
    assert 'value="1"' in read(f"{PAGE}settings/")
    given = {"app": "acme", "display_name": "Acme & Co", "weight": "5", "max_concurrent": ""}
    assert console.post(f"{PAGE}settings/", given).status_code == 302
    found = App.objects.get(name="acme")
    assert (found.display_name, found.weight, found.max_concurrent) == ("Acme & Co", 5, None)
    assert "Acme &amp; Co" in read(PAGE)


def test_a_task_that_does_not_fit_says_so_and_goes_on_when_more_may_run(
    console: Client, configured: App, read: Read
) -> None:
    App.objects.filter(name="acme").update(max_concurrent=1)
    tasks = [agents.submit(configured, "echo") for _ in range(2)]
    assert len(leases.claim(workers.register(slots=4).pk, 4)) == 1
    parked = QueueEntry.objects.get(state="parked")
    assert {parked.key} < {task.pk for task in tasks}
    assert "Parked: 1 of 1 tasks that the App acme may run at a time are running." in read(
        f"/admin/tasks/{parked.key}/"
    )
    given = {"app": "acme", "weight": "1", "max_concurrent": "2"}
    assert console.post(f"{PAGE}settings/", given).status_code == 302
    assert QueueEntry.objects.get(pk=parked.pk).state == "ready"


@pytest.mark.parametrize("wrong", [{"weight": "0"}, {"weight": "x"}, {"max_concurrent": "0"}])
def test_settings_that_cannot_be_are_refused(console: Client, configured: App, wrong: dict[str, str]) -> None:
    answer = console.post(f"{PAGE}settings/", {"app": "acme", "weight": "2", "display_name": "New", **wrong})
    assert answer.status_code == 400
    assert App.objects.get(name="acme").display_name == ""


def test_an_app_is_deleted_by_whoever_writes_its_name(console: Client, configured: App, read: Read) -> None:
    lifecycle.create("shop", by="tests")
    path = "/admin/platform/apps/shop/delete/"
    assert "Nothing brings them back" in read(path)
    for wrong in ({}, {"name": "acme"}):
        answer = console.post(path, {"app": "acme", **wrong})
        assert answer.status_code == 400
    assert App.objects.filter(name="shop").exists()
    answer = console.post(path, {"app": "acme", "name": "shop", "reason": "over"}, follow=True)
    assert "The App shop is deleted." in answer.content.decode()
    assert not App.objects.filter(name="shop").exists()


@pytest.mark.django_db(transaction=True)
def test_who_deletes_the_app_that_is_shown_chooses_another(console: Client) -> None:
    lifecycle.create("shop", by="tests")
    assert console.get("/admin/?app=shop").status_code == 200
    answer = console.post("/admin/platform/apps/shop/delete/", {"app": "shop", "name": "shop"}, follow=True)
    assert answer.status_code == 409 and "The App shop is not there any more" in answer.content.decode()
    assert console.get("/admin/platform/apps/?app=default").status_code == 200


def test_the_default_app_is_not_deleted(console: Client, configured: App, read: Read) -> None:
    assert "cannot be deleted" in read("/admin/platform/apps/default/delete/")
    assert console.post("/admin/platform/apps/default/delete/", {"name": "default"}).status_code == 403
    assert App.objects.filter(name="default", status="active").exists()


def test_an_app_that_is_not_there_has_no_pages(console: Client) -> None:
    for page in ("settings", "suspend", "reactivate", "delete"):
        assert console.post(f"/admin/platform/apps/nobody/{page}/").status_code == 404


def test_the_installations_limit_is_changed_and_a_task_that_waits_for_it_says_so(
    console: Client, configured: App, read: Read
) -> None:
    tasks = [agents.submit(configured, "echo") for _ in range(2)]
    page = "/admin/platform/queue/limit/"
    assert console.post(page, {"app": "acme", "max_concurrent": "0"}).status_code == 400
    assert console.post(page, {"app": "acme", "max_concurrent": "1", "reason": "small"}).status_code == 302
    [running] = leases.claim(workers.register(slots=4).pk, 4)
    assert "1 of 1 tasks that the installation may run at a time are running." in read("/admin/platform/queue/")
    [waiting] = [task for task in tasks if task.pk != running.key]
    assert "Waiting: 1 of 1 tasks that the installation may run" in read(f"/admin/tasks/{waiting.pk}/")
    assert 'value="1"' in read(page)
