"""Every host that starts writes down the maintenance jobs; each of them is there once."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from django.db import connections
from django_q.models import Schedule

from apps.queue import maintenance
from apps.queue.cluster import ensure_schedules


@pytest.mark.django_db(transaction=True)
def test_hosts_that_start_at_once_schedule_each_job_once() -> None:
    ready = threading.Barrier(8)
    failed: list[Exception] = []

    def start() -> None:
        try:
            ready.wait(10)
            ensure_schedules()
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)
        finally:
            connections.close_all()

    hosts = [threading.Thread(target=start) for _ in range(8)]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    ensure_schedules()  # and one more, later
    assert failed == []
    assert Counter(Schedule.objects.values_list("name", flat=True)) == dict.fromkeys(maintenance.jobs, 1)


@pytest.mark.django_db
def test_a_job_that_has_changed_since_is_written_anew() -> None:
    ensure_schedules()
    Schedule.objects.update(func="gone", minutes=50)
    ensure_schedules()
    wanted = {(job.name, job.function, job.minutes) for job in maintenance.jobs.values()}
    assert set(Schedule.objects.values_list("name", "func", "minutes")) == wanted
