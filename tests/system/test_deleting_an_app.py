"""An App is deleted while worker processes run its tasks: they stop, and the workers end the deletion by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.config.apply import apply
from apps.queue import deletion
from apps.queue.models import QueueEntry
from apps.tasks import lifecycle as tasks
from apps.tasks.lifecycle import NewTask
from apps.tenancy import lifecycle
from apps.tenancy.connection import connection
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from apps.tenancy.paths import directory_name
from tests.support.agents import document
from tests.support.work import wait_for
from tests.system.site import Site

AGENTS = document({"linger": {"type": "function", "handler": "tests.system.programs.linger"}})


@pytest.mark.sampled("postgresql")
def test_workers_stop_and_drop_a_deleted_app(site_with: Callable[[dict[str, Any]], Site]) -> None:
    site = site_with(AGENTS)
    site.work()
    with site.installation.inside():
        shop = lifecycle.create("shop", by="tests")
        apply(shop, AGENTS, by="tests")
        with in_app(shop):
            tasks.submit(shop, NewTask("linger", "x"), by="tests")
        files = site.installation.home / "apps" / directory_name(shop)
        files.mkdir(parents=True)
        wait_for(lambda: site.ran()["linger"], what="it runs")
        assert not deletion.delete(shop, by="anna")
        site.ran_file.with_name("release").touch()
        wait_for(lambda: not App.objects.filter(name="shop").exists(), seconds=20, what="the App is gone")
        assert not connection.schemas.exists(shop.schema_name)
        assert not QueueEntry.objects.exists()
        wait_for(lambda: not files.exists(), what="its files are gone")
