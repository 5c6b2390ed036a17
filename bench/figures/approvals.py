"""People who decide: how soon a run goes on, what 100,000 waiting approvals cost, and many who decide at once."""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.test import Client

from apps.accounts.models import User
from apps.approvals import lifecycle, rights
from apps.approvals.models import Approval, Decision
from apps.queue import sql
from apps.queue import workers as of_queue
from apps.queue.models import QueueEntry
from apps.tasks.models import Checkpoint, Task
from apps.tenancy.context import in_app
from apps.tenancy.models import App, Membership
from apps.tenancy.tokens import issue_app_token
from bench.figures import claim
from bench.figures.tasks import check_completed, submit
from bench.functions import RAN
from bench.harness import BenchError, copying, counted, migrated, percentile, pss, tidy, until, web, workers

DECISIONS = 300
PAUSES = (0.03, 0.07)  # seconds between two decisions; of differing length, so as not to beat in time with anything
WAITING = 100_000
AWAKE = 200  # tasks that are worked off while memory is looked at
LOOKS = 40  # at each page
APPROVALS, DECIDERS = 1_000, 50


def _document(tool: str) -> dict[str, Any]:
    """An agent that calls the tool, which has to be approved within ten days."""
    return {
        "llms": {
            "script": {
                "provider": "scripted",
                "script": [{"calls": [{"tool": "tool", "arguments": {}}]}, {"text": "Done."}],
            }
        },
        "tools": {
            "tool": {"type": "function", "handler": f"bench.functions.{tool}", "require_approval": "in_time"}
        },
        "approval_policies": {"in_time": {"expires_in": "10d", "remind_after": "5d"}},
        "agents": {"clerk": {"type": "llm", "llm": "script", "tools": ["tool"]}},
    }  # fmt: skip


def _asks(app: App, count: int) -> list[Approval]:
    """Lets so many tasks come to their question."""
    submit(app, count, "clerk")
    until(lambda: Approval.objects.count() == count, "every task asks")
    return list(Approval.objects.select_related("task").order_by("id"))


# --- From the decision to the run -------------------------------------------------------------------------------------
def decision(quick: bool) -> dict[str, float]:
    """`p50` and `p95` count from the return of `decide` to the start of the tool, `…_whole` from the call of it."""
    app = migrated(_document("note_time"))
    by = rights.operator("bench")
    called: dict[UUID, int] = {}
    decided: dict[UUID, int] = {}
    with workers(), in_app(app):
        for approval in _asks(app, DECISIONS // (5 if quick else 1)):
            time.sleep(random.uniform(*PAUSES))
            called[approval.task_id] = time.time_ns()
            lifecycle.decide(app, approval, "approve", by=by)
            decided[approval.task_id] = time.time_ns()
        until(lambda: not QueueEntry.objects.exists(), "all tasks have ended")
        check_completed(app, len(decided))
        ran = {point.task_id: point.content["value"] for point in Checkpoint.objects.filter(kind="tool_result")}
    after = [(ran[key] - decided[key]) / 1e6 for key in decided]
    whole = [(ran[key] - called[key]) / 1e6 for key in decided]
    return {
        "p50": percentile(after, 0.50),
        "p95": percentile(after, 0.95),
        "p50_whole": percentile(whole, 0.50),
        "p95_whole": percentile(whole, 0.95),
    }


# --- What waiting costs -----------------------------------------------------------------------------------------------
def waiting(quick: bool) -> dict[str, float]:
    """Workers and claims with none waiting and with many, each of which also has its reminder in the queue."""
    app = migrated(_document("note_time"))
    memory_before, claim_before = _memory(app), _claim(app)
    with in_app(app):
        _fill(WAITING // (10 if quick else 1))
    tidy()
    memory, took = _memory(app), _claim(app)
    return {
        "memory": memory,
        "memory_ratio": memory / memory_before,
        "claim": took,
        "claim_ratio": took / claim_before,
        **_pages(app),
    }


def _memory(app: App) -> float:
    """Of all worker processes together, at its most, while they bring tasks to their questions."""
    found: list[float] = []
    with in_app(app):
        expected = Approval.objects.count() + AWAKE
    with workers() as cluster:
        submit(app, AWAKE, "clerk")

        def asked() -> bool:
            found.append(pss(cluster.pid))
            with in_app(app):
                return Approval.objects.count() == expected

        until(asked, "every task asks", look=0.25)
    return max(found)


def _claim(app: App) -> float:
    worker = of_queue.register(slots=claim.SIZE)
    try:
        return claim.milliseconds(app, worker, claim.FEW, 0)
    finally:
        of_queue.sign_off(worker.pk)
        QueueEntry.objects.filter(kind="noop").delete()


def _fill(count: int) -> None:
    """Copies a task that waits so many times, with its approval and the queue entry of that; all have the task's id."""
    asked = Approval.objects.latest("id")
    fresh = "uuidv7()" if sql.is_postgresql() else "PRINTF('%%012x', made.n) || LOWER(HEX(RANDOMBLOB(10)))"
    sql.execute(
        f"{counted('made')} {copying(Task, {'id': fresh})} FROM made, tasks_task pattern WHERE pattern.id = %s",
        [count, sql.uid(asked.task_id)],
    )
    sql.execute(
        f"{copying(Approval, {'id': 'task.id', 'task_id': 'task.id'})} FROM tasks_task task, approvals_approval pattern"
        " WHERE pattern.id = %s AND NOT EXISTS (SELECT 1 FROM approvals_approval taken WHERE taken.task_id = task.id)",
        [sql.uid(asked.pk)],
    )
    sql.execute(
        f"{copying(QueueEntry, {'key': 'approval.id'})} FROM approvals_approval approval, queue_queueentry pattern"
        " WHERE pattern.key = %s AND approval.id = approval.task_id",
        [sql.uid(asked.pk)],
    )


def _pages(app: App) -> dict[str, float]:
    """Milliseconds until the inbox, and the API's list, are there: the 95th percentile of some looks. For `…_others`,
    all that waits there waits for other people."""
    person = User.objects.create_user("anna", password=None)
    Membership.objects.create(user=person, app=app, role="approver")
    browser = Client()
    browser.force_login(person)
    name = settings.SESSION_COOKIE_NAME
    session = {"Cookie": f"{name}={browser.cookies[name].value}"}
    token = {"Authorization": f"Bearer {issue_app_token(app.name, role='approver')}"}
    with web() as port:
        own = {
            "inbox": _look(port, "/approvals/", session),
            "list": _look(port, "/approvals?status=open&mine=true", token),
        }
        with in_app(app):
            Approval.objects.update(role="admin")
        tidy()
        others = {
            "inbox_others": _look(port, "/approvals/", session),
            "list_others": _look(port, "/approvals?status=open&mine=true", token),
        }
    return own | others


def _look(port: int, path: str, headers: dict[str, str]) -> float:
    took = []
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(LOOKS):
        begun = time.perf_counter()
        server.request("GET", path, headers=headers)
        answer = server.getresponse()
        answer.read()
        took.append((time.perf_counter() - begun) * 1000)
        if answer.status != 200:
            raise BenchError(f"GET {path} answered {answer.status}")
    server.close()
    return percentile(took[LOOKS // 4 :], 0.95)  # by then every process of the web server has imported what it needs


# --- Many at once -----------------------------------------------------------------------------------------------------
class Approver(threading.Thread):
    """Approves all, in the order in which everybody does."""

    def __init__(self, port: int, token: str, approvals: list[UUID]) -> None:
        super().__init__()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._port, self._approvals = port, approvals
        self.answers: Counter[int] = Counter()

    def run(self) -> None:
        server = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for approval in self._approvals:
            while True:
                server.request("POST", f"/approvals/{approval}/decide", '{"decision": "approve"}', self._headers)
                answer = server.getresponse()
                answer.read()
                self.answers[answer.status] += 1
                if answer.status != 503:  # the database was busy for too long
                    break
        server.close()


def deciders(quick: bool) -> dict[str, float]:
    """All through the API; the calls that were let run are counted by the tool itself."""
    count, people = APPROVALS // (10 if quick else 1), DECIDERS // (5 if quick else 1)
    app = migrated(_document("charge"))
    with workers(), web() as port, in_app(app):
        asked = [approval.pk for approval in _asks(app, count)]
        approvers = [Approver(port, issue_app_token(app.name, role="approver"), asked) for _ in range(people)]
        begun = time.monotonic()
        for approver in approvers:
            approver.start()
        for approver in approvers:
            approver.join()
        seconds = time.monotonic() - begun
        until(lambda: not QueueEntry.objects.exists(), "all tasks have ended")
        check_completed(app, count)
        decisions = Decision.objects.count()
    answers = sum((approver.answers for approver in approvers), Counter[int]())
    if answers[200] != decisions or answers[200] + answers[409] != count * people:
        raise BenchError(f"{decisions} decisions were made, and the answers were {dict(answers)}")
    ran = Counter(Path(os.environ["HECTOR_HOME"], RAN).read_text().split())
    if len(ran) != count:
        raise BenchError(f"{len(ran)} of {count} calls have run")
    return {"decided_twice": decisions - count, "run_twice": sum(ran.values()) - count, "seconds": seconds}
