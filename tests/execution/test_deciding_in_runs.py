"""People let a run go on through the API and on the command line: each call of every kind of tool, and grants."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.tasks.integrity import complaints
from apps.tasks.models import TaskStatus
from apps.tenancy.models import App
from tests.approvals.matrix import Situation, Through, shows
from tests.support import functions
from tests.support.agents import apply, call, function_tool, one_llm_agent, submit
from tests.support.deciding import SURFACES, Api, CommandLine, Surface, Terms
from tests.support.starter import ROOT
from tests.support.work import asks, ended, payloads, working

BOTH = (Through.API, Through.COMMAND_LINE)
SCHEMA = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}


@shows(
    *(Situation.APPROVE, Situation.EDIT, Situation.REJECT, Situation.ANSWER, Situation.SEVERAL, Situation.RESTART),
    *(Situation.FUNCTION, Situation.COMMAND, Situation.MCP),
    through=BOTH,
)
@pytest.mark.parametrize("surface", [Api, pytest.param(CommandLine, marks=pytest.mark.sampled("sqlite"))])
def test_each_call_of_one_answer_is_decided_by_itself_and_has_its_own_result(
    app: App, surface: Callable[[], Surface], tmp_path: Path
) -> None:
    """A function (changed), a command (as it is), a tool of an MCP server (rejected) and a question; nothing of Hector
    runs while people decide."""
    mark = tmp_path / "ran"
    tools: dict[str, Any] = {
        "charge": function_tool("charge", require_approval=True),
        "touch": {
            "type": "command", "command": ["touch", "{path}"], "parameters": {"path": {"type": "string"}},
            "require_approval": True,
        },
        "server": {
            "type": "mcp", "command": sys.executable, "args": ["-m", "tests.support.mcp_server"],
            "env": {"PYTHONPATH": str(ROOT)}, "filter": ["add"], "require_approval": ["add"],
        },
        "ask": {"type": "ask_human", "answer_schema": SCHEMA},
    }  # fmt: skip
    wanted = {"charge": {"amount": 5}, "touch": {"path": str(mark)}, "add": {"a": 1, "b": 2}, "ask": {"question": "?"}}
    turn = {"calls": [{"tool": tool, "arguments": arguments} for tool, arguments in wanted.items()]}
    apply(app, one_llm_agent(turn, {"text": "Done."}, tools=tools), by="tests")
    task = submit(app)
    with working():
        asks(task)
    person = surface()
    open_ones = {approval["tool"]: approval for approval in person.approvals()}
    assert {tool: approval["arguments"] for tool, approval in open_ones.items()} == wanted
    person.reject(open_ones["add"]["id"], comment="Not today")
    person.approve(open_ones["charge"]["id"], arguments={"amount": 3}, comment="Less")
    person.answer(open_ones["ask"]["id"], {"colour": "red"})
    task.refresh_from_db()
    assert task.status == TaskStatus.INPUT_REQUIRED and not mark.exists()
    person.approve(open_ones["touch"]["id"])
    assert person.approvals() == []
    with working():
        ended(task)
    assert (task.status, functions.calls["charge"], mark.exists()) == (TaskStatus.COMPLETED, 1, True)
    said = {point.key: point.content["value"] for point in task.checkpoints.filter(kind="tool_result")}
    charged, touched, added, answered = (said[f"tool:1:call_0_{number}"] for number in range(4))
    assert (charged["result"], charged["arguments"]) == ("charged 3", {"amount": 3})
    assert "Not today" in added and "did not run" in added
    assert (touched["exit_code"], answered) == (0, {"colour": "red"})
    started = [(one["tool"], one["approval"]) for one in payloads(task, "tool_call_started")]
    assert sorted(started) == [(tool, open_ones[tool]["id"]) for tool in ("charge", "touch")]
    assert complaints(app) == []


@shows(Situation.GRANT_USED, Situation.GRANT_REVOKED, through=BOTH)
@pytest.mark.parametrize("surface", SURFACES)
def test_a_grant_lets_calls_run_until_it_is_revoked(app: App, surface: Callable[[], Surface]) -> None:
    tools = {"charge": function_tool("charge", require_approval=True)}
    turns = [call("charge", amount=amount) for amount in (1, 2)]
    apply(app, one_llm_agent(*turns, {"text": "Paid."}, tools=tools), by="tests")
    person, task = surface(), submit(app)
    with working():
        asks(task)
        person.approve(person.approvals()[0]["id"], grant=Terms(timezone.now() + timedelta(hours=1)))
        ended(task)
        [grant] = person.grants()
        assert (grant["tool"], grant["uses"], functions.calls["charge"]) == ("charge", 1, 2)
        assert [use["grant"] for use in payloads(task, "grant_used")] == [grant["id"]]
        person.revoke(grant["id"], reason="The sale is over")
        assert person.grants() == []
        asks(submit(app))
    assert functions.calls["charge"] == 2
