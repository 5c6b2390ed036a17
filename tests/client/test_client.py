"""What a program sees of an installation through `hector.Client`, and through `hector.AsyncClient`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.tasks import retention
from apps.tasks.models import IdempotencyKey
from apps.tasks.models import Task as Row
from apps.tenancy.context import in_app
from apps.tenancy.tokens import issue_app_token
from hector import errors
from tests.support.environment import SECRETS
from tests.support.http_server import Answer, LocalServer, Request
from tests.support.work import working

UNKNOWN = "01900000-0000-7000-8000-000000000000"


def test_a_task_is_run_and_its_result_read(client: Any) -> None:
    with working():
        task = client.tasks.run("echo", "hello", timeout=20)
    assert (task.status, task.output) == ("completed", {"echo": {"text": "hello"}})
    assert client.tasks.get(task.id) == task
    assert [event.type for event in client.tasks.events(task.id)][-1] == "execution_completed"
    [attempt] = client.tasks.attempts(task.id)
    assert attempt.outcome == "completed"


def test_waiting_tells_not_finished_unknown_and_failed_apart(client: Any) -> None:
    task = client.tasks.submit("boom", "hello")
    with pytest.raises(errors.NotFinished) as late:
        client.tasks.wait(task.id, timeout=0.1)
    assert (late.value.task_id, late.value.status) == (task.id, "pending")
    with pytest.raises(errors.NotFound):
        client.tasks.wait(UNKNOWN, timeout=5)
    with working():
        assert client.tasks.wait(task.id, timeout=20).error.code == "unexpected"


def test_a_task_that_is_no_longer_kept_is_told_from_one_that_never_was(
    client: Any, connect: Callable[..., Any], server: str
) -> None:
    with working():
        task = client.tasks.run("echo", "hello", timeout=20)
    with in_app("acme") as acme:
        long_ago = timezone.now() - timedelta(days=31)
        Row.objects.update(finished_at=long_ago)
        IdempotencyKey.objects.update(created_at=long_ago)
        retention.prune(acme)
    with pytest.raises(errors.NoLongerKept, match=f"The task {task.id} has ended and is no longer kept"):
        client.tasks.wait(task.id, timeout=5)
    with pytest.raises(errors.NotFound):
        connect(server, issue_app_token("globex")).tasks.get(task.id)


def test_a_submission_whose_answer_was_lost_makes_one_task(client: Any, network: Any) -> None:
    network.lose = 2
    task = client.tasks.submit("echo", "hello")
    assert network.sent == ["POST /tasks"] * 3
    assert [known.id for known in client.tasks.list()] == [task.id]


def test_what_may_not_happen_twice_is_not_tried_again(client: Any, network: Any) -> None:
    task = client.tasks.submit("echo", "hello")
    network.lose = 1
    with pytest.raises(errors.Unreachable):
        client.tasks.cancel(task.id)
    assert network.sent[1:] == [f"POST /tasks/{task.id}/cancel"]
    assert client.tasks.get(task.id).status == "cancelled"


def test_one_key_is_one_task_and_another_body_is_refused(client: Any) -> None:
    first = client.tasks.submit("echo", "hello", idempotency_key="order-1")
    assert client.tasks.submit("echo", "hello", idempotency_key="order-1").id == first.id
    with pytest.raises(errors.KeyReused):
        client.tasks.submit("echo", "other", idempotency_key="order-1")


def test_a_list_is_read_page_by_page_as_far_as_it_is_looked_at(client: Any, network: Any) -> None:
    made = [client.tasks.submit("echo", str(number), tags=["list"]).id for number in range(5)]
    network.sent.clear()
    assert [task.id for task in client.tasks.list(tag="list", limit=2)] == made[::-1]
    assert len(network.sent) == 3
    network.sent.clear()
    assert len(list(itertools.islice(client.tasks.list(status=["pending", "running"], limit=2), 2))) == 2
    assert len(network.sent) == 1


def test_a_stream_that_is_cut_goes_on_without_a_gap(client: Any, network: Any) -> None:
    with working():
        task = client.tasks.run("echo", "hello", timeout=20)
        network.cut = [120, 0, 300]
        seen = list(client.tasks.follow(task.id))
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert seen == list(client.tasks.events(task.id))
    assert list(client.tasks.follow(task.id, after=seen[-1].seq)) == []
    assert [event.seq for event in client.tasks.follow(task.id, after=2)] == [event.seq for event in seen[2:]]


def test_what_somebody_says_has_happened_is_in_the_list(client: Any) -> None:
    task = client.tasks.submit("echo", "hello")
    event = client.events.publish("order.placed", data={"n": 1}, task=task.id)
    assert (event.type, event.payload["name"], event.agent, event.seq) == ("custom", "order.placed", "echo", 2)
    assert list(client.events.list(type=["custom.order.placed"], task=task.id, limit=1)) == [event]


def test_a_stream_of_an_unknown_task_is_an_error(client: Any) -> None:
    with pytest.raises(errors.NotFound):
        list(client.tasks.follow(UNKNOWN))


def test_what_a_person_decides(client: Any) -> None:
    with working():
        task = client.tasks.submit("asker", "hello", wait=20)
        assert task.status == "input_required" and task.rests
        [approval] = client.approvals.list(status="open")
        assert approval.json_schema and approval.arguments == {"amount": 3}
        decided = client.approvals.decide(approval.id, "approve", comment="Fine")
        assert decided.decisions[0].comment == "Fine"
        assert client.tasks.wait(task.id, timeout=20).status == "completed"
    with pytest.raises(errors.AlreadyDecided) as closed:
        client.approvals.decide(approval.id, "reject")
    assert closed.value.status == 409


def test_errors_have_a_class_a_code_and_every_fault(client: Any, connect: Callable[..., Any], server: str) -> None:
    with pytest.raises(errors.UnknownAgent) as unknown:
        client.tasks.submit("nobody", "hello")
    assert unknown.value.errors[0]["pointer"] == "/agent" and unknown.value.request_id
    assert isinstance(unknown.value, errors.BadRequest) and unknown.value.code == "unknown_agent"
    with pytest.raises(errors.InputInvalid):
        client.tasks.submit("picky", "hello")
    with pytest.raises(TypeError, match="object has no form in JSON"):
        client.tasks.submit("echo", {"value": object()})
    with pytest.raises(errors.BadRequest) as faults:
        client.tasks.submit("echo", "hello", priority=1000, max_retries=-1)
    assert "/priority" in str(faults.value) and "/max_retries" in str(faults.value)
    holder = client.tasks.submit("echo", "hello", unique_key="one")
    with pytest.raises(errors.NotUnique) as taken:
        client.tasks.submit("echo", "hello", unique_key="one")
    assert taken.value.holder == holder.id
    with pytest.raises(errors.Forbidden):
        client.admin.queue()
    with pytest.raises(errors.NotAuthenticated):
        list(connect(server, "wrong").agents.list())


def test_the_operator_makes_an_app_and_works_in_it(connect: Callable[..., Any], server: str) -> None:
    operator = connect(server, SECRETS["HECTOR_AUTH_SECRET"], app="acme")
    assert {agent.name for agent in operator.agents.list()} == {"echo", "boom", "picky", "asker"}
    changed = operator.apps.change("acme", weight=3, max_concurrent=5)
    assert (changed.weight, changed.max_concurrent) == (3, 5)
    assert operator.apps.change("acme", max_concurrent=None).max_concurrent is None
    applied = operator.apps.apply("acme", operator.apps.config("acme") | {"description": "New"}, comment="Why not")
    assert next(operator.apps.revisions("acme")).comment == "Why not"
    with pytest.raises(errors.RevisionConflict):
        operator.apps.apply("acme", operator.apps.config("acme"), expected_revision=applied.revision - 1)
    with pytest.raises(errors.BadRequest) as refused:
        operator.apps.apply("acme", {"llms": {"main": {}}})
    assert refused.value.errors[0]["pointer"].startswith("/config/llms/main")
    operator.apps.put_secret("acme", "KEY", "value")
    assert [secret.name for secret in operator.apps.secrets("acme")] == ["KEY"]
    operator.apps.delete_secret("acme", "KEY")
    token = operator.apps.issue_token("acme", role="viewer", note="for tests")
    assert connect(server, token.access_token).agents.get("echo").type == "function"
    assert operator.admin.queue().apps.keys() <= {"acme"}
    assert operator.admin.config_schema()["type"] == "object"


def test_it_waits_as_long_as_it_is_told_to_and_no_more_often_than_it_may(connect: Callable[..., Any]) -> None:
    answers = iter([503, 429, 200])

    def respond(_: Request) -> Answer:
        return Answer(b'{"keys": []}', next(answers), {"Retry-After": "0", "Content-Type": "application/json"})

    with LocalServer(respond) as busy:
        assert connect(busy.url).tokens.keys() == {"keys": []}
        assert len(busy.requests) == 3

    with LocalServer(lambda _: Answer(b"<html>", 503, {"Retry-After": "0"})) as away:
        with pytest.raises(errors.Unavailable) as unavailable:
            connect(away.url, retries=1).tokens.keys()
        assert (len(away.requests), unavailable.value.retry_after) == (2, 0.0)
    with pytest.raises(errors.Unreachable, match=away.url):
        connect(away.url, retries=0).tokens.keys()


def test_an_answer_that_does_not_come_is_not_waited_for(connect: Callable[..., Any]) -> None:
    with LocalServer(lambda _: None) as silent, pytest.raises(errors.Unreachable):
        connect(silent.url, timeout=0.1, retries=0).tasks.get(UNKNOWN)


def test_no_name_leads_to_another_address(connect: Callable[..., Any]) -> None:
    with LocalServer(lambda _: Answer(b"{}", 404)) as server, pytest.raises(errors.NotFound):
        connect(server.url).agents.get("../admin/apps?x#y")
    assert [request.path for request in server.requests] == ["/agents/..%2Fadmin%2Fapps%3Fx%23y"]
