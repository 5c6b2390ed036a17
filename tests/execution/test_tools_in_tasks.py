"""Every type of tool in a task: its result reaches the model, and a cancelled task takes its processes along."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.tasks import lifecycle
from apps.tasks.models import Task, TaskStatus
from apps.tenancy.models import App
from apps.tenancy.paths import workdir
from tests.support import functions
from tests.support.agents import apply, call, function_tool, one_llm_agent, submit
from tests.support.work import ended, payloads, wait_for, working

ROOT = Path(__file__).resolve().parent.parent.parent


def run(app: App, *turns: dict[str, Any], tools: dict[str, Any], **options: Any) -> Task:
    apply(app, one_llm_agent(*turns, {"text": "Done."}, tools=tools, **options), by="tests")
    task = submit(app)
    with working():
        return ended(task)


def results(task: Task) -> list[Any]:
    return [point.value["value"] for point in task.checkpoints.filter(kind="tool_result")]


def test_a_command_runs_in_the_directory_of_its_app_and_its_exit_code_is_told(app: App) -> None:
    tools = {
        "where": {"type": "command", "command": ["pwd"]},
        "fail": {"type": "command", "command": ["false"]},
    }
    task = run(app, call("where"), call("fail"), tools=tools)
    assert task.status == TaskStatus.COMPLETED
    where, fail = results(task)
    assert str(workdir(app)) in str(where)
    assert "1" in str(fail)


def test_the_tools_of_an_mcp_server_are_called_and_their_results_recorded(app: App) -> None:
    server = {
        "type": "mcp",
        "command": sys.executable,
        "args": ["-m", "tests.support.mcp_server"],
        "env": {"PYTHONPATH": str(ROOT)},
        "filter": ["add", "echo"],
    }
    task = run(app, call("add", a=2, b=3), call("echo", text="again"), tools={"server": server})
    assert (task.status, task.error) == (TaskStatus.COMPLETED, None)
    assert "5" in str(results(task)[0])
    assert "again" in str(results(task)[1])
    assert [payload["tool"] for payload in payloads(task, "tool_call_completed")] == ["add", "echo"]


def test_a_tool_that_takes_too_long_is_stopped_and_the_model_is_told(app: App) -> None:
    task = run(
        app, call("sleeper"), tools={"sleeper": {"type": "command", "command": ["sleep", "60"], "timeout": "200ms"}}
    )
    assert task.status == TaskStatus.COMPLETED
    [ended_call] = payloads(task, "tool_call_completed")
    assert "longer than 0.2 seconds" in ended_call["error"]


def test_a_function_that_fails_is_told_to_the_model_and_not_run_again(app: App) -> None:
    task = run(app, call("broken", order="A"), tools={"broken": function_tool("broken_look_up")})
    assert task.status == TaskStatus.COMPLETED
    assert functions.calls["broken_look_up"] == 1
    [ended_call] = payloads(task, "tool_call_completed")
    assert ended_call["error"] == "LookupError: no order A"


@pytest.mark.parametrize("kind", ["command", "function"])
def test_cancelling_stops_the_tool_and_its_processes(app: App, kind: str) -> None:
    pid_file = workdir(app) / "pid"
    script = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    tools = {
        "command": {"work": {"type": "command", "command": [sys.executable, "-c", script]}},
        "function": {"work": function_tool("spin_tool")},
    }[kind]
    apply(app, one_llm_agent(call("work"), {"text": "Done."}, tools=tools), by="tests")
    task = submit(app)
    with working():
        if kind == "command":
            pid = int(wait_for(lambda: pid_file.exists() and pid_file.read_text(), what="the command started"))
        else:
            wait_for(lambda: functions.calls["spin_tool"], what="the function started")
        lifecycle.cancel(app, task, by="anna")
        ended(task)
        assert task.status == TaskStatus.CANCELLED
        if kind == "command":
            assert not _runs(pid)
        else:
            assert functions.stopped.is_set()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
