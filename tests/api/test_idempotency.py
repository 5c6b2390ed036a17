"""However often a POST is sent, it makes one task."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from apps.queue.models import QueueEntry
from apps.tasks import retention
from apps.tasks.models import IdempotencyKey, Task
from apps.tenancy.context import in_app
from tests.api.conftest import Person

BODY = {"agent": "echo", "input": "hello", "tags": ["a"]}


def count() -> int:
    with in_app("acme"):
        return Task.objects.count()


def test_the_same_request_again_answers_with_the_first_task(operator: Person) -> None:
    first = operator.post("/tasks", BODY, Idempotency_Key="order 17")
    again = operator.post("/tasks", dict(reversed(BODY.items())), Idempotency_Key="order 17")
    assert "Idempotency-Replayed" not in first.headers
    assert (again.status_code, again["Idempotency-Replayed"]) == (202, "true")
    assert again.json() == first.json() and again["Location"] == first["Location"]
    assert count() == 1


def test_another_body_with_the_same_key_is_refused(operator: Person) -> None:
    operator.post("/tasks", BODY, Idempotency_Key="k")
    assert operator.post("/tasks", BODY | {"input": "other"}, Idempotency_Key="k").status_code == 422
    assert count() == 1


def test_a_refused_request_does_not_use_its_key_up(operator: Person) -> None:
    assert operator.post("/tasks", BODY | {"agent": "nobody"}, Idempotency_Key="k").status_code == 400
    assert operator.post("/tasks", BODY, Idempotency_Key="k").status_code == 202


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "ü", "a\tb", " a"])
def test_a_key_that_is_none_is_refused(operator: Person, key: str) -> None:
    assert operator.post("/tasks", BODY, Idempotency_Key=key).status_code == 400


def test_a_key_is_free_again_after_its_time(operator: Person, settings: Any) -> None:
    first = operator.post("/tasks", BODY, Idempotency_Key="k").json()
    settings.HECTOR_IDEMPOTENCY_PERIOD = timedelta(0)
    second = operator.post("/tasks", BODY | {"input": "other"}, Idempotency_Key="k")
    assert second.status_code == 202 and second.json()["id"] != first["id"]


def test_old_keys_are_forgotten_and_young_ones_kept(operator: Person, settings: Any) -> None:
    operator.post("/tasks", BODY, Idempotency_Key="k")
    assert retention.prune_all() == 0
    settings.HECTOR_IDEMPOTENCY_PERIOD = timedelta(0)
    assert retention.prune_all() == 1
    assert count() == 1


def test_requests_at_the_same_time_make_one_task(operator: Person) -> None:
    together, answers = threading.Barrier(8), []

    def send(number: int) -> None:
        together.wait()
        try:
            # Two of the eight say something else.
            body = BODY if number else BODY | {"input": "other"}
            answers.append(operator.post("/tasks", body, Idempotency_Key="k"))
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(number // 2,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [answer for answer in answers if answer.status_code == 202]
    assert {answer.status_code for answer in answers} == {202, 422}
    assert len({answer.json()["id"] for answer in made}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in made) == 1
    assert count() == 1 and QueueEntry.objects.count() == 1


def test_task_and_key_are_kept_together_or_not_at_all(operator: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**values: Any) -> None:
        raise RuntimeError("the key cannot be written")

    monkeypatch.setattr(IdempotencyKey.objects, "create", fail)
    assert operator.post("/tasks", BODY, Idempotency_Key="k").status_code == 500
    assert count() == 0 and not QueueEntry.objects.exists()
