"""`/webhooks/APP/PATH`: who is let in, what is made of it, and what is answered."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.agents.config.checks import validate
from apps.agents.config.faults import ConfigInvalid
from apps.queue import leases
from apps.queue.models import QueueEntry, Worker
from apps.tasks import lifecycle as tasks
from apps.tasks import outbox, retention
from apps.tasks.api.waiting import Share
from apps.tasks.models import Task
from apps.tenancy import secrets
from apps.tenancy.models import App
from apps.triggers.entry_points import lifecycle
from apps.triggers.errors import EntryPointGone, NotRedeliverable
from apps.triggers.models import Channel, Delivery, Firing, WebhookDelivery
from apps.triggers.webhooks import receiving, views
from tests.support.agents import document
from tests.triggers.entry_points import AGENTS, entry, events, named, put
from tests.triggers.webhooks import KEY, STANDARD, github, send, signed, slack, standard, stripe


def hook(path: str = "/hook", **options: Any) -> dict[str, Any]:
    """A webhook that GitHub's signature opens."""
    closed = {} if options.get("public") else {"secret": "${secret:HOOK}", "signature": "github"}
    return entry(type="webhook", path=path, **closed | options)


@pytest.fixture(autouse=True)
def _keys(app: App, settings: Any) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    secrets.put(app, "HOOK", KEY)
    secrets.put(app, "STANDARD", STANDARD)


def log() -> WebhookDelivery:
    """The newest delivery."""
    return WebhookDelivery.objects.latest("id")


def kept() -> list[tuple[str, int]]:
    """What the log says: each verdict, and how often the same came again; the oldest first."""
    return list(WebhookDelivery.objects.order_by("id").values_list("verdict", "repeats"))


# --- What comes in ------------------------------------------------------------------------------------------------
def test_a_signed_request_becomes_a_task_before_it_is_answered(app: App) -> None:
    put(app, hook=hook(input={"text": "{{ body.action }} by {{ headers['x-from'] }}"}, session="s-{{ body.n }}"))
    body = json.dumps({"action": "opened", "n": 7}).encode()
    answer = send("/hook", body, github(body) | {"X-From": "me", "Authorization": "Bearer x", "Cookie": "a=b"})
    assert answer.status_code == 202
    task = Task.objects.get()
    delivery = log()
    said = {"delivery": str(delivery.pk), "outcome": "started", "reason": "", "task": str(task.pk)}
    assert answer.json() == said
    assert (task.input, task.session, task.entry_point) == ({"text": "opened by me"}, "s-7", "hook")
    assert events("webhook_received") == [{"entry_point": "hook", "firing": str(Firing.objects.get().pk)}]
    assert (delivery.verdict, delivery.task, delivery.text) == ("started", task.pk, body.decode())
    assert delivery.headers["x-from"] == "me"
    for hidden in ("authorization", "cookie", "x-hub-signature-256"):
        assert delivery.headers[hidden] == "***"


@pytest.mark.parametrize("headers", [{}, {"X-Hub-Signature-256": "sha256=é"}, {"X-Hub-Signature-256": "x" * 64}, None])
def test_what_is_not_signed_is_refused_and_what_it_held_is_not_kept(app: App, headers: Any) -> None:
    put(app, hook=hook())
    answer = send("/hook", b'{"a": 1}', github(b"another body") if headers is None else headers)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:hector:problem:bad_signature")
    assert (log().verdict, log().body, log().size) == ("unverified", None, 8)
    assert not Task.objects.exists() and not Firing.objects.exists()


def test_whoever_has_no_secret_fills_no_log(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "_refusals", receiving._Refusals(lambda: 0.0))
    put(app, hook=hook())
    for _ in range(receiving.REFUSALS + 5):
        assert send("/hook", b"{}").status_code == 401
    assert WebhookDelivery.objects.count() == receiving.REFUSALS


def test_only_the_methods_and_addresses_that_there_are_take_requests(app: App, transactional_db: None) -> None:
    put(app, hook=hook(methods=["PUT", "POST"]), other=entry())
    answer = send("/hook", method="GET")
    assert (answer.status_code, answer["Allow"]) == (405, "POST, PUT")
    assert send("/hook", method="OPTIONS").status_code == 405
    assert signed("/hook", {}, method="PUT").status_code == 202
    for path, name in (("/nothing", "acme"), ("/hook/", "acme"), ("/hook", "nobody"), ("/hook", "globex")):
        assert send(path, app=name).status_code == 404, path
    put(app, other=entry())
    assert signed("/hook", {}).status_code == 404


def test_an_app_that_is_suspended_answers_as_if_it_were_not_there(app: App) -> None:
    put(app, hook=hook())
    App.objects.filter(pk=app.pk).update(status=App.Status.SUSPENDED)
    assert signed("/hook", {}).status_code == 404


def test_parts_of_the_path_are_parameters_and_what_is_spelled_out_comes_first(app: App) -> None:
    put(app, order=hook("/orders/{id}", input="{{ path.id }}"), new=hook("/orders/new", input="new"))
    assert signed("/orders/41-b", {}).status_code == signed("/orders/new", {}).status_code == 202
    assert list(Task.objects.order_by("id").values_list("input__text", flat=True)) == ["41-b", "new"]
    assert signed("/orders/41/items", {}).status_code == 404


def test_while_an_entry_point_is_paused_senders_are_told_to_come_back(app: App) -> None:
    put(app, hook=hook())
    lifecycle.pause(app, named("hook"), by="anna", reason="too much")
    answer = signed("/hook", {}, "d-1")
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert (log().verdict, log().reason) == ("paused", "The entry point is paused: too much.")
    assert send("/hook", b"{}").status_code == 401, "who has no secret is told nothing"
    lifecycle.resume(app, named("hook"), by="anna")
    assert signed("/hook", {}, "d-1").status_code == 202


def test_a_secret_that_is_not_set_lets_nobody_in_and_does_not_end_the_senders_tries(app: App) -> None:
    put(app, hook=hook(secret="${secret:NOT_SET}"))
    answer = signed("/hook", {})
    assert answer.status_code == 503 and "NOT_SET" not in answer.content.decode()


def test_bodies_are_json_forms_or_text(app: App) -> None:
    put(app, hook=hook(input={"body": "{{ body }}"}))
    form = "application/x-www-form-urlencoded"
    found = [
        (b'{"a": [1]}', "application/vnd.x+json", {"a": [1]}),
        (b"a=1&b=2&b=%C3%A9", form, {"a": "1", "b": ["2", "é"]}),
        (b"payload=%7B%22a%22%3A1%7D", form, {"a": 1}),
        ("größe".encode(), "text/plain", "größe"),
    ]
    for raw, kind, read in found:
        assert signed("/hook", raw, content_type=kind).status_code == 202
        assert Task.objects.latest("id").input == {"body": read}
    for raw, kind in ((b"{", "application/json"), (b"\xff", "text/plain"), (b"a=%00", form), (b"\0", "text/plain")):
        assert signed("/hook", raw, content_type=kind).status_code == 400
        assert (log().verdict, bytes(log().body or b"")) == ("unreadable", raw)
    assert signed("/hook?a=%00", {}).status_code == 400


def test_without_a_template_the_body_is_the_input(app: App) -> None:
    put(app, hook=hook())
    for body, input in (({"a": 1}, {"a": 1}), ([1], {"body": [1]}), (b"", {"body": None})):
        assert signed("/hook", body).status_code == 202
        assert Task.objects.latest("id").input == input


def test_a_body_over_the_limit_is_not_read(app: App, settings: Any) -> None:
    settings.HECTOR_MAX_BODY = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2000
    put(app, hook=hook())
    assert signed("/hook", b'"' + b"x" * 2000 + b'"').status_code == 413
    assert not WebhookDelivery.objects.exists()


def test_public_webhooks_take_what_anybody_sends(app: App) -> None:
    put(app, hook=hook(public=True))
    for _ in range(2):
        assert send("/hook", {"a": 1}).status_code == 202
    assert Task.objects.count() == 2
    put(app, hook=hook(public=True, unique_by="X-Id"))
    assert {send("/hook", {}, {"X-Id": "1"}).json()["task"] for _ in range(2)} != {None}
    assert Task.objects.count() == 3


# --- What is made of it -------------------------------------------------------------------------------------------
def test_a_template_that_makes_nothing_filters_and_says_so(app: App) -> None:
    template = "{% if body.action == 'opened' %}{{ body.action }}{% endif %}"
    put(app, hook=hook(input={"text": template}, session="{{ body.issue.number }}"))
    answer = signed("/hook", {"action": "closed"})
    assert (answer.status_code, answer.json()["outcome"], answer.json()["task"]) == (200, "filtered", None)
    assert answer.json()["reason"] == "The input's template made nothing of it."
    assert (log().verdict, Firing.objects.get().outcome) == ("filtered", "filtered")
    assert events("webhook_received")[0]["reason"]


def test_what_no_task_can_be_made_of_is_refused_without_telling_the_sender_why(app: App) -> None:
    put(app, hook=hook(input={"text": "{{ body.issue.number }}"}))
    answer = signed("/hook", {"action": "closed"})
    assert answer.status_code == 422 and "issue" not in answer.content.decode()
    assert (log().verdict, "issue" in log().reason) == ("refused", True)
    assert answer.json()["delivery"] == str(log().pk)


def test_over_a_limit_of_the_app_a_sender_is_told_to_come_again(app: App) -> None:
    put(app, hook=hook())
    App.objects.filter(pk=app.pk).update(limits={"tasks": [{"limit": 1, "window": 366 * 86400}]})
    app.refresh_from_db()
    assert signed("/hook", {}, "d-1").status_code == 202
    late = signed("/hook", {}, "d-2")
    assert late.status_code == 429 and late["Retry-After"]
    assert kept() == [("started", 0)], "so that it is not taken for the same when it comes again"


# --- The same again -----------------------------------------------------------------------------------------------
def test_a_delivery_that_comes_again_is_answered_as_the_first(app: App) -> None:
    put(app, hook=hook())
    first, again = signed("/hook", {"n": 1}, "d-1"), signed("/hook", {"n": 1}, "d-1")
    assert (again.status_code, again.json(), again["Idempotency-Replayed"]) == (202, first.json(), "true")
    assert signed("/hook", {"n": 1}, "d-2").json() != first.json()
    assert Task.objects.count() == 2 and kept() == [("started", 1), ("started", 0)]


def test_deliveries_without_an_id_are_told_apart_by_their_signature(app: App) -> None:
    put(app, hook=hook(), strict=hook("/strict", unique_by="signature"))
    assert signed("/hook", {"n": 1}).json() == signed("/hook", {"n": 1}).json() != signed("/hook", {"n": 2}).json()
    replayed = [signed("/strict", {"n": 1}, id).json()["task"] for id in ("d-1", "d-2")]
    assert replayed[0] == replayed[1], "GitHub does not sign the id"


def test_each_sender_has_its_own_way_to_say_that_it_is_the_same(app: App) -> None:
    put(
        app,
        stripe=hook("/stripe", signature="stripe"),
        slack=hook("/slack", signature="slack"),
        standard=hook("/standard", signature="standard-webhooks", secret="${secret:STANDARD}"),
    )
    now = timezone.now().timestamp()
    for name, body, sign in (
        ("stripe", b'{"id": "evt_1"}', stripe),
        ("slack", b'{"event_id": "Ev1"}', slack),
        ("standard", b"{}", lambda body, at: standard(body, "msg_1", at)),
    ):
        first, again = (send(f"/{name}", body, sign(body, at)) for at in (now, now - 60))
        assert first.status_code == 202 and first.json() == again.json(), name
        assert send(f"/{name}", body, sign(body, now - 400)).status_code == 401, "too long ago"
    assert Task.objects.count() == 3


def test_the_same_from_many_at_once_is_done_once(app: App, transactional_db: None) -> None:
    put(app, hook=hook())

    def sent(_: int) -> Any:
        try:
            return signed("/hook", {"n": 1}, "d-1")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(sent, range(6)))
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["task"] for answer in answers} == {str(Task.objects.get().pk)}
    assert kept() == [("started", 5)] and Firing.objects.count() == 1


def test_what_was_filtered_or_refused_is_so_again(app: App) -> None:
    put(app, hook=hook(input="{{ body.text }}"))
    for body, status in (({"text": ""}, 200), ({}, 422)):
        for _ in range(2):
            assert signed("/hook", body, f"d-{status}").status_code == status
    assert kept() == [("filtered", 1), ("refused", 1)]


def test_ids_of_any_length_tell_deliveries_apart(app: App) -> None:
    put(app, hook=hook())
    ids = ["a" * 5000, "a" * 5001, "é"]
    assert len({signed("/hook", {}, id).json()["task"] for id in ids * 2}) == 3


# --- Answers ------------------------------------------------------------------------------------------------------
def test_an_answer_that_waits_says_when_the_result_is_late(app: App) -> None:
    put(app, hook=hook(answer="sync", timeout="10ms"))
    late = signed("/hook", {"n": 1}, "d-1")
    task = Task.objects.get()
    assert (late.status_code, late.json()["task"], late["Location"]) == (504, str(task.pk), f"/tasks/{task.pk}")
    tasks.cancel(app, task, by="tests")
    again = signed("/hook", {"n": 1}, "d-1")
    assert (again.status_code, again.json()["status"], again["Idempotency-Replayed"]) == (200, "cancelled", "true")
    assert Task.objects.count() == 1


def test_no_more_answers_wait_than_there_is_room_for(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "long_answers", lambda: Share(0))
    put(app, hook=hook(answer="sync"), quick=hook("/quick"))
    answer = signed("/hook", {})
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert not WebhookDelivery.objects.exists(), "so that it is not taken for the same when it comes again"
    assert signed("/quick", {}).status_code == 202


def test_results_are_posted_later_as_signed_messages(app: App, worker: Worker) -> None:
    later = {"answer": "callback", "callback_url": "https://shop.example/x", "callback_secret": "${secret:STANDARD}"}
    put(app, hook=hook(**later), other=entry())
    task_id = signed("/hook", {"n": 1}).json()["task"]
    other = lifecycle.trigger(app, named("other"), by="anna").task
    for id in (task_id, other):
        tasks.cancel(app, Task.objects.get(pk=id), by="anna")
    outbox.hand_over(app, [lease for lease in leases.claim(worker.pk, 50) if lease.kind == outbox.KIND])
    [message] = Delivery.objects.all()
    assert (message.channel, message.type, str(message.task)) == ("_callback-hook", "execution_cancelled", task_id)
    assert message.message["data"]["entry_point"] == "hook"
    assert message.message["data"]["payload"]["input"] == {"n": 1}
    assert QueueEntry.objects.filter(kind="delivery").exists(), "which is sent as every other message"
    put(app, hook=hook())
    assert not Channel.objects.exists()


def test_slack_and_others_are_answered_when_they_ask_for_a_sign_of_life(app: App) -> None:
    put(
        app,
        slack=hook("/slack", signature="slack"),
        meta=hook("/meta", challenge="hub.challenge", challenge_token="hub.verify_token"),
        graph=hook("/graph", public=True, challenge="validationToken"),
    )
    asked = b'{"type": "url_verification", "challenge": "abc"}'
    answer = send("/slack", asked, slack(asked))
    assert (answer.status_code, answer.json()) == (200, {"challenge": "abc"})
    assert send("/slack", asked).status_code == 401
    query = f"hub.challenge=12&hub.verify_token={KEY.replace(' ', '+')}"
    answer = send(f"/meta?{query}", method="GET")
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (200, b"12", "text/plain; charset=utf-8")
    assert send("/meta?hub.challenge=12&hub.verify_token=guess", method="GET").status_code == 401
    assert send("/meta", method="GET").status_code == 405
    answer = send("/graph?validationToken=%3Cscript%3E")
    assert (answer.content, answer["X-Content-Type-Options"]) == (b"<script>", "nosniff")
    assert not Task.objects.exists()
    assert {verdict for verdict, _ in kept()} == {"handshake", "unverified"}


# --- Again, by hand -----------------------------------------------------------------------------------------------
def test_what_came_is_handed_over_again_by_the_configuration_of_now(app: App) -> None:
    put(app, hook=hook(input={"text": "{{ body.issue.number }}"}))
    signed("/hook?a=1&token=x", {"action": "closed"}, "d-1")
    refused = log()
    put(app, hook=hook(input={"text": "{{ body.action }} {{ query.a }} {{ query.token }}"}))
    lifecycle.pause(app, named("hook"), by="anna")
    again = receiving.redeliver(app, refused, by="anna", reason="fixed")
    assert Task.objects.get().input == {"text": "closed 1 ***"}
    assert (again.verdict, again.redelivery_of, again.by) == ("started", refused.pk, "anna")
    facts = {"entry_point": "hook", "delivery": str(refused.pk), "redelivery": str(again.pk), "reason": "fixed"}
    assert events("webhook_redelivered") == [facts]
    receiving.redeliver(app, refused, by="anna")
    assert Task.objects.count() == 2


def test_what_nobody_has_signed_is_not_handed_over(app: App) -> None:
    put(app, hook=hook())
    send("/hook", b"{}")
    with pytest.raises(NotRedeliverable, match="who sent it"):
        receiving.redeliver(app, log(), by="anna")
    signed("/hook", {})
    put(app, hook=hook("/elsewhere"))
    with pytest.raises(NotRedeliverable, match="another path"):
        receiving.redeliver(app, log(), by="anna")
    put(app, hook=entry())
    with pytest.raises(EntryPointGone):
        receiving.redeliver(app, log(), by="anna")


def test_the_log_is_kept_as_long_as_that_of_messages(app: App, transactional_db: None) -> None:
    put(app, hook=hook())
    signed("/hook", {}, "d-1")
    signed("/hook", {}, "d-2")
    month = retention.installation_policy().notifications
    WebhookDelivery.objects.filter(key="d-1").update(received_at=timezone.now() - timedelta(seconds=month + 1))
    assert retention.prune(app)["triggers_webhookdelivery"] == 1
    assert log().key == "d-2"


# --- The document -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("trigger", "pointer", "says"),
    [
        ({"path": "/x"}, "", "Write a `secret`"),
        ({"path": "/x", "public": True, "secret": "${secret:A}"}, "", "not both"),
        ({"path": "/x", "secret": "in clear"}, "/secret", "not written in clear"),
        ({"path": "x", "public": True}, "/path", "Write a path"),
        ({"path": "/x/{id}/{id}", "public": True}, "/path", "stands once"),
        ({"path": "/x/../y z", "public": True}, "/path", "Write a path"),
        ({"path": "/x", "public": True, "methods": []}, "/methods", "at least 1"),
        ({"path": "/x", "public": True, "methods": ["POST", "POST"]}, "/methods", "stands once"),
        ({"path": "/x", "public": True, "methods": ["BREW"]}, "/methods/0", "'GET', 'POST'"),
        ({"path": "/x", "secret": "${secret:A}", "signature": "pgp"}, "/signature", "'github', 'stripe'"),
        ({"path": "/x", "secret": "${secret:A}", "signature": "generic"}, "", "needs the `header`"),
        ({"path": "/x", "secret": "${secret:A}", "header": "X-Sig"}, "", "only for `signature: generic`"),
        ({"path": "/x", "public": True, "unique_by": "X Id"}, "/unique_by", "name of a header"),
        ({"path": "/x", "public": True, "answer": "sync", "timeout": "10m"}, "/timeout", "less than or equal to 120"),
        ({"path": "/x", "public": True, "answer": "callback"}, "", "needs `callback_url`"),
        ({"path": "/x", "public": True, "challenge_token": "t"}, "", "needs a `challenge`"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_its_place(trigger: dict[str, Any], pointer: str, says: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        validate(
            document(AGENTS) | {"entry_points": {"e": {"agent": "echo", "trigger": {"type": "webhook"} | trigger}}}
        )
    said = {fault.pointer: fault.detail for fault in refused.value.faults}
    assert says in said[f"/entry_points/e/trigger{pointer}"], said


def test_two_webhooks_that_take_the_same_requests_are_refused(app: App) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        put(app, a=hook("/x/{id}"), b=hook("/x/{name}", methods=["PUT", "POST"]))
    [fault] = refused.value.faults
    assert (fault.pointer, "`a`" in fault.detail) == ("/entry_points/b/trigger/path", True)
    put(app, a=hook("/x/{id}"), b=hook("/x/{name}", methods=["PUT"]), c=hook("/x/y"))


# --- Whatever is sent ---------------------------------------------------------------------------------------------
@settings(
    max_examples=60, derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    body=st.binary(max_size=200)
    | st.sampled_from([b"[" * 500, b'{"a": "\\u0000"}', b'"\\ud800"', b"1e999", b"payload={"]),
    kind=st.sampled_from(["application/json", "application/x-www-form-urlencoded", "text/plain", "", "x/+json", "a;b"]),
    path=st.text(st.characters(codec="utf-8", exclude_characters="?#"), max_size=20),
    query=st.text(alphabet="ab=&%0é;[]", max_size=20),
    id=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
    is_signed=st.booleans(),
)  # fmt: skip
def test_nothing_that_is_sent_breaks_the_server(
    app: App, body: bytes, kind: str, path: str, query: str, id: str, is_signed: bool
) -> None:
    if not WebhookDelivery.objects.exists():
        put(app, hook=hook("/hook/{rest}", input={"b": "{{ body }}", "q": "{{ query }}", "p": "{{ path.rest }}"}))
    headers = github(body, id.strip()) if is_signed else {"X-Hub-Signature-256": id}
    answer = send(f"/hook/{path or 'x'}?{query}", body, headers, content_type=kind)
    assert answer.status_code in ((202, 400, 404, 422) if is_signed else (400, 401, 404)), answer.content
