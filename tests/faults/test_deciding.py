"""Whoever decides, and the worker that asks or lets something come due, meet every fault but `kill -9`, which
`test_approvals` has (in `make test-faults`; `make test` runs a sample).

A person who gets no answer, or is told to try again, decides once more: then the first time has counted and they are
told so, or it has not and the second time does. What they have let run has run once, and the invariants hold.
"""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.test import Client

from apps.accounts.models import User
from apps.approvals.models import Approval, Decision
from apps.queue.faults import Point
from tests.faults import strikes
from tests.faults.asking import HURRIED, decides, goes_on_to_its_end, inside, open_ones
from tests.faults.scenario import STALE, Scenario
from tests.faults.server import RestartableServer
from tests.ops.processes import free_port, healthy
from tests.support import environment

Answer = tuple[int, str]
DECIDING = [Point.DECISION_WRITES, Point.GRANT_WRITES, Point.RESUME_WRITES, Point.DECISION_WRITTEN]
BY_A_WORKER = [(point, visit) for point in (Point.APPROVAL_WRITES, Point.DUE_WRITES) for visit in (1, 2, 3)]


def deciding(**sampled: str) -> pytest.MarkDecorator:
    """Runs a test at every point of a decision; `make test` does so on the engine that is named for it, if one is."""
    points = [pytest.param(one, id=str(one), marks=_sampled(sampled.get(one.name))) for one in DECIDING]
    return pytest.mark.parametrize("point", points)


def by_a_worker(**sampled: str) -> pytest.MarkDecorator:
    """The same of asking (three times) and of what comes due: the reminder, the escalation, the expiry."""
    places = [
        pytest.param(
            HURRIED if point == Point.DUE_WRITES else {}, (point, visit), id=f"{point}-{visit}",
            marks=_sampled(sampled.get(f"{point.name}_{visit}")),
        )
        for point, visit in BY_A_WORKER
    ]  # fmt: skip
    return pytest.mark.parametrize(("policy", "place"), places)


def _sampled(engine: str | None) -> pytest.MarkDecorator:
    return pytest.mark.sampled(*([engine] if engine else []))


# --- People, and where they decide ------------------------------------------------------------------------------------
def asks(scenario: Scenario) -> Approval:
    """What is left to decide is one call of a tool: the task goes on with that."""
    scenario.start_host("one", armed=False)
    found = scenario.wait_for(lambda: open_ones(scenario), "it asks")
    decides(scenario, found["question"])
    return found["tool_call"]


def start_web(scenario: Scenario, *, armed: bool = True) -> int:
    """The port of a web server."""
    port = free_port()
    env = {"HECTOR_WEB_PROCESSES": "1", "HECTOR_FAULT": ",".join(scenario.faults) * armed}
    scenario.installation.fork(scenario.starter, "web", "--port", str(port), log=scenario.log, **env)
    scenario.wait_for(lambda: healthy(port), "the web server is healthy")
    return port


def by_api(port: int, approval: Approval) -> Answer:
    secret = environment.SECRETS["HECTOR_AUTH_SECRET"]
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    return _answer(port, f"/approvals/{approval.pk}/decide", headers, {"decision": "approve", "grant": {"task": True}})


def by_page(port: int, approval: Approval, session: str) -> Answer:
    """As the inbox's form does."""
    token = "t" * 32
    cookies = f"{settings.SESSION_COOKIE_NAME}={session}; {settings.CSRF_COOKIE_NAME}={token}"
    fields = {"csrfmiddlewaretoken": token, "app": "default", "decision": "approve", "grant": "task"}
    return _answer(port, f"/approvals/{approval.pk}/", {"Cookie": cookies, "Accept": "text/html"}, urlencode(fields))


def _answer(port: int, path: str, headers: dict[str, str], body: Any) -> Answer:
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


@contextmanager
def meanwhile(decide: Callable[..., Answer], *arguments: Any) -> Iterator[Future[Answer]]:
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(decide, *arguments)


def again(scenario: Scenario, port: int, approval: Approval) -> Answer:
    """The second try, and the third while the database is not back."""

    def answered() -> Answer | None:
        answer = by_api(port, approval)
        return None if answer[0] == 503 else answer

    return scenario.wait_for(answered, "the second try has an answer") or (0, "")


def is_told_whether_it_counted(scenario: Scenario, port: int, approval: Approval, *, counted: bool) -> None:
    status, text = again(scenario, port, approval)
    assert (status, "This was closed already: approve by " in text) == ((409, True) if counted else (200, False)), text
    with inside(scenario):
        assert Decision.objects.filter(approval=approval.pk).count() == 1
    goes_on_to_its_end(scenario)


# --- Whoever decides --------------------------------------------------------------------------------------------------
@deciding(RESUME_WRITES="postgresql")
def test_who_is_cut_off_while_deciding_is_told_to_try_again_and_then_whether_it_counted(
    asking: Scenario, point: Point, on_postgresql: bool
) -> None:
    if not on_postgresql:
        pytest.skip("SQLite has no connection that could be cut")
    approval, fault = asks(asking), asking.arm(point, "wait")
    port = start_web(asking)
    with meanwhile(by_api, port, approval) as first:
        strikes.cut(asking, fault)
    status, text = first.result()
    assert status == 503 and "try again" in text
    is_told_whether_it_counted(asking, port, approval, counted=point == Point.DECISION_WRITTEN)


@deciding(DECISION_WRITTEN="postgresql")
def test_the_inbox_says_the_same(asking: Scenario, point: Point, on_postgresql: bool) -> None:
    if not on_postgresql:
        pytest.skip("SQLite has no connection that could be cut")
    approval, fault = asks(asking), asking.arm(point, "wait")
    with inside(asking):
        browser = Client()
        browser.force_login(User.objects.create_superuser("olga", password=None))
    port = start_web(asking)
    with meanwhile(by_page, port, approval, browser.cookies[settings.SESSION_COOKIE_NAME].value) as first:
        strikes.cut(asking, fault)
    status, text = first.result()
    assert status == 503 and "The database does not answer" in text and "try again" in text
    is_told_whether_it_counted(asking, port, approval, counted=point == Point.DECISION_WRITTEN)


@deciding()
def test_the_command_line_says_the_same(asking: Scenario, point: Point, on_postgresql: bool) -> None:
    if not on_postgresql:
        pytest.skip("SQLite has no connection that could be cut")
    approval, fault = asks(asking), asking.arm(point, "wait")
    env = {"HECTOR_FAULT": ",".join(asking.faults)}
    told = asking.path / "told.log"
    command = asking.installation.fork(
        asking.starter, "approve", str(approval.pk), "--for-task", log=told, **env
    )  # fmt: skip
    strikes.cut(asking, fault)
    assert command.wait(30) == 1
    assert told.read_text().strip().splitlines()[-1].startswith("The database does not answer. Try again: ")
    port = start_web(asking, armed=False)
    is_told_whether_it_counted(asking, port, approval, counted=point == Point.DECISION_WRITTEN)


@pytest.mark.xdist_group("server")
@deciding()
def test_a_database_server_that_crashes_while_somebody_decides(
    asking_on_server: Scenario, server: RestartableServer, point: Point
) -> None:
    approval, fault = asks(asking_on_server), asking_on_server.arm(point, "wait")
    port = start_web(asking_on_server)
    with meanwhile(by_api, port, approval) as first:
        strikes.crash(asking_on_server, fault, server)
    assert first.result()[0] == 503
    is_told_whether_it_counted(asking_on_server, port, approval, counted=point == Point.DECISION_WRITTEN)


@deciding(DECISION_WRITES="postgresql")
def test_a_web_server_that_freezes_while_somebody_decides_keeps_nobody_else_from_deciding(
    asking: Scenario, point: Point, on_postgresql: bool
) -> None:
    """It may be given up for lost: PostgreSQL takes its locks from it."""
    if not on_postgresql:
        pytest.skip("it holds SQLite's write lock, which nobody can take from it: see test_matrix")
    approval, fault = asks(asking), asking.arm(point, "wait")
    port = start_web(asking)
    with meanwhile(by_api, port, approval) as first:
        frozen = asking.freeze(fault)
        counted = point == Point.DECISION_WRITTEN
        is_told_whether_it_counted(asking, start_web(asking, armed=False), approval, counted=counted)
        os.kill(frozen, signal.SIGCONT)
    assert first.result()[0] == (200 if counted else 503)
    goes_on_to_its_end(asking)


@deciding(RESUME_WRITES="sqlite")
def test_a_full_disk_keeps_people_from_deciding_until_there_is_room(
    asking: Scenario, point: Point, on_postgresql: bool
) -> None:
    if on_postgresql:
        pytest.skip("a full disk is the server's affair")
    approval, fault = asks(asking), asking.arm(point, "wait")
    port, counted = start_web(asking), point == Point.DECISION_WRITTEN
    with meanwhile(by_api, port, approval) as first, strikes.full_disk(asking, fault):
        assert first.result()[0] == (200 if counted else 503)
    is_told_whether_it_counted(asking, port, approval, counted=counted)


@deciding(GRANT_WRITES="sqlite")
def test_a_web_server_that_is_told_to_stop_answers_whoever_is_deciding(asking: Scenario, point: Point) -> None:
    approval, fault = asks(asking), asking.arm(point, "term")
    port = start_web(asking)
    assert by_api(port, approval)[0] == 200
    asking.reached(fault)
    is_told_whether_it_counted(asking, start_web(asking, armed=False), approval, counted=True)


# --- Whoever asks, and what comes due ---------------------------------------------------------------------------------
def left_to_time(policy: dict[str, Any]) -> tuple[str, ...]:
    return ("tool_call",) if policy else ()


@by_a_worker(DUE_WRITES_3="postgresql")
def test_a_worker_that_is_cut_off_asks_all_the_same_and_once(
    asking: Scenario, policy: dict[str, Any], place: tuple[Point, int], on_postgresql: bool
) -> None:
    if not on_postgresql:
        pytest.skip("SQLite has no connection that could be cut")
    fault = asking.arm(place[0], "wait", visit=place[1])
    asking.start_host("one")
    _until_it_is_reached(asking, policy, fault)
    strikes.cut(asking, fault)
    goes_on_to_its_end(asking, *left_to_time(policy))


@pytest.mark.xdist_group("server")
@by_a_worker(DUE_WRITES_1="postgresql")
def test_a_database_server_that_crashes_while_a_worker_asks(
    asking_on_server: Scenario, server: RestartableServer, policy: dict[str, Any], place: tuple[Point, int]
) -> None:
    fault = asking_on_server.arm(place[0], "wait", visit=place[1])
    asking_on_server.start_host("one")
    _until_it_is_reached(asking_on_server, policy, fault)
    strikes.crash(asking_on_server, fault, server)
    goes_on_to_its_end(asking_on_server, *left_to_time(policy))


@by_a_worker(DUE_WRITES_2="postgresql")
def test_a_worker_that_freezes_while_it_asks_holds_nobody_up(
    asking: Scenario, policy: dict[str, Any], place: tuple[Point, int], on_postgresql: bool
) -> None:
    if not on_postgresql:
        pytest.skip("it holds SQLite's write lock, which nobody can take from it: see test_matrix")
    fault = asking.arm(place[0], "wait", visit=place[1])
    asking.start_host("one")
    _until_it_is_reached(asking, policy, fault)
    frozen = asking.freeze(fault)
    asking.start_host("two", armed=False)
    goes_on_to_its_end(asking, *left_to_time(policy))
    os.kill(frozen, signal.SIGCONT)
    asking.wait_for(lambda: asking.on_shift(frozen), "the process that woke up has started anew")
    goes_on_to_its_end(asking, *left_to_time(policy))


@by_a_worker(APPROVAL_WRITES_3="sqlite")
def test_a_full_disk_delays_what_is_asked(
    asking: Scenario, policy: dict[str, Any], place: tuple[Point, int], on_postgresql: bool
) -> None:
    if on_postgresql:
        pytest.skip("a full disk is the server's affair")
    fault = asking.arm(place[0], "wait", visit=place[1])
    asking.start_host("one")
    _until_it_is_reached(asking, policy, fault)
    with strikes.full_disk(asking, fault) as worker:
        asking.wait_for(lambda: asking.has_not_beaten(worker, STALE / 2), "it cannot write")
    goes_on_to_its_end(asking, *left_to_time(policy))


@by_a_worker(DUE_WRITES_2="sqlite")
def test_a_worker_that_is_told_to_stop_while_it_asks_hands_its_work_on(
    asking: Scenario, policy: dict[str, Any], place: tuple[Point, int]
) -> None:
    fault = asking.arm(place[0], "term", visit=place[1])
    asking.start_host("one")
    goes_on_to_its_end(asking, *left_to_time(policy))
    asking.reached(fault)


def _until_it_is_reached(scenario: Scenario, policy: dict[str, Any], fault: Path) -> None:
    """People decide meanwhile what is asked before it; of what is left to time nothing has to be."""

    def reached() -> bool:
        if not policy:
            for approval in open_ones(scenario).values():
                decides(scenario, approval)
        return (fault / "reached").exists()

    scenario.wait_for(reached, "the point is reached")
