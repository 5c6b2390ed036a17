"""The supervisor with real processes: small scripts first, then the whole of `hector serve`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
from pytest_django import DjangoDbBlocker

from apps.agents.models import Agent
from apps.ops.supervisor import LONGEST_PAUSE, pause
from apps.tenancy.context import in_app
from tests.ops.conftest import Running
from tests.ops.processes import alive, child, database_away, family, get, healthy
from tests.support.installation import ROOT, Installation
from tests.support.starter import Starter
from tests.support.work import wait_for

SCRIPT = """
import sys
from apps.ops.supervisor import Child, Supervisor
on_stop = {"obedient": "lambda *_: exit(0)", "stubborn": "signal.SIG_IGN"}[sys.argv[1]]
code = f"import signal, time; signal.signal(signal.SIGTERM, {on_stop}); print('up', flush=True); time.sleep(99)"
sys.exit(Supervisor([Child("one", [sys.executable, "-c", code])], grace=float(sys.argv[2])).run())
"""

Supervise = Callable[[str, float], "subprocess.Popen[str]"]


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    started: list[subprocess.Popen[str]] = []

    def start(child: str, grace: float) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, child, str(grace)],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        until_up(process)
        return process

    yield start
    for process in started:
        for left in family(process.pid) if process.poll() is None else []:
            left.kill()
        process.kill()
        process.communicate()


def until_up(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert any(line.strip() == "up" for line in process.stdout)


def test_a_stop_reaches_the_children_and_is_clean(supervise: Supervise) -> None:
    process = supervise("obedient", 20)
    (running,) = family(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert not alive(running)


def test_a_child_that_died_is_started_again(supervise: Supervise) -> None:
    process = supervise("obedient", 20)
    (first,) = family(process.pid)
    first.kill()
    until_up(process)
    (second,) = family(process.pid)
    assert second.pid != first.pid


def test_a_child_that_does_not_stop_in_time_is_killed(supervise: Supervise) -> None:
    process = supervise("stubborn", 0.5)
    (running,) = family(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 1
    assert not alive(running)


def test_a_second_signal_does_not_wait(supervise: Supervise) -> None:
    process = supervise("stubborn", 60)
    (running,) = family(process.pid)
    process.send_signal(signal.SIGINT)

    def stopped() -> bool:
        process.send_signal(signal.SIGINT)
        return process.poll() is not None

    wait_for(stopped, seconds=10, what="the second signal ends it")
    assert process.returncode == 1
    assert not alive(running)


def test_pauses_grow_up_to_a_bound() -> None:
    assert [pause(failures) for failures in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert pause(50) == LONGEST_PAUSE


@pytest.mark.sampled("sqlite")
def test_serve_replaces_what_dies_and_stops_clean(start: Callable[..., Running]) -> None:
    serve = start("serve", "--queue-workers", "1")
    wait_for(lambda: serve.logged().count("shift_started") == 1, what="on shift")
    web, worker = (child(serve.process.pid, name) for name in ("web", "worker"))
    os.kill(web.pid, signal.SIGKILL)
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: {web.pid, worker.pid}.isdisjoint(found.pid for found in direct(serve)), what="both are gone")
    wait_for(lambda: len(direct(serve)) == 2, what="both are back")
    wait_for(lambda: healthy(serve.port), what="healthy again")
    wait_for(lambda: serve.logged().count("shift_started") == 2, what="on shift again")
    everybody = family(serve.process.pid)
    serve.process.send_signal(signal.SIGTERM)
    assert serve.process.wait(30) == 0, serve.logged()
    wait_for(lambda: not any(map(alive, everybody)), what="nobody is left")
    assert "Traceback" not in serve.logged()


def test_a_worker_ends_in_time_although_its_database_is_gone(installation: Installation, starter: Starter) -> None:
    log = installation.home / "worker.log"
    worker = installation.fork(starter, "worker", "--queue-workers", "1", log=log, HECTOR_GRACE="2s")
    wait_for(lambda: log.exists() and "shift_started" in log.read_text(), what="on shift")
    everybody = family(worker.pid)
    with database_away(installation):
        worker.send_signal(signal.SIGTERM)
        worker.wait(15)
        wait_for(lambda: not any(map(alive, everybody)), what="nobody is left")


@pytest.mark.sampled("sqlite")
def test_the_first_start_tells_how_to_begin_and_whoever_kills_serve_kills_all(start: Callable[..., Running]) -> None:
    serve = start("serve", "--queue-workers", "1")
    text = serve.logged()
    assert f"http://127.0.0.1:{serve.port}/admin/" in text
    assert "User        admin" in text
    assert "Password    " in text
    assert '"agent": "assistant"' in text
    assert "$HECTOR_AUTH_SECRET" in text  # the tests set it; otherwise the file is named
    wait_for(lambda: "shift_started" in serve.logged(), what="on shift")
    everybody = family(serve.process.pid)
    serve.process.kill()
    wait_for(lambda: not any(map(alive, everybody)), seconds=30, what="nobody is left")
    again = start("serve", "--queue-workers", "1")
    assert "Password" not in again.logged()


@pytest.mark.sampled()
def test_a_watched_file_is_applied_when_it_changes_and_a_bad_one_is_not(
    start: Callable[..., Running], installation: Installation, django_db_blocker: DjangoDbBlocker
) -> None:
    agent = "{type: llm, llm: say, instruction: Answer}"
    document = 'version: "2"\nllms:\n  say: {provider: scripted, script: [{text: Hi}]}\nagents:\n  %s: ' + agent + "\n"
    file = installation.home / "watched.yaml"
    file.write_text(document % "one")
    serve = start("serve", "--queue-workers", "1", "-c", str(file), "--watch")
    with django_db_blocker.unblock():
        file.write_text("agents: {")
        wait_for(lambda: "config_refused" in serve.logged(), what="the bad file is refused")
        assert agents(serve) == ["one"]
        file.write_text(document % "two")
        wait_for(lambda: "config_applied" in serve.logged(), what="the good file is applied")
        assert agents(serve) == ["two"]
    assert get(serve.port)[0] == 200
    serve.process.send_signal(signal.SIGTERM)
    assert serve.process.wait(30) == 0


def direct(serve: Running) -> list[psutil.Process]:
    return [found for found in psutil.Process(serve.process.pid).children() if alive(found)]


def agents(serve: Running) -> list[str]:
    with serve.installation.inside(), in_app("default"):
        return list(Agent.objects.values_list("name", flat=True))
