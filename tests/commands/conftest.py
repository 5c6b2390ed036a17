"""Commands as they are typed, on this machine and at an address."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from apps.agents.config.apply import apply
from apps.tenancy import lifecycle
from apps.tenancy.tokens import issue_app_token
from hector_site.cli import main
from tests.support import agents

DOCUMENT = agents.document(
    {
        "echo": agents.function("echo"),
        "boom": agents.function("boom", retry={"max_retries": 0}),
        "speaker": {"type": "llm", "llm": "main"},
        "asker": {"type": "llm", "llm": "asking", "tools": ["charge"]},
    },
    {
        "main": agents.scripted({"text": "Done."}),
        "asking": agents.scripted(agents.call("charge", amount=3), {"text": "Charged."}),
    },
    {"charge": agents.function_tool("charge", require_approval=True)},
) | {
    "entry_points": {
        "repeat": {
            "agent": "echo",
            "trigger": {"type": "api"},
            "description": "Says it again",
            "input": {"text": "{{ input.text if input is mapping else input }}, twice"},
        },
        "often": {"agent": "echo", "trigger": {"type": "timer", "interval": "1h"}, "input": "Again"},
        "strict": {"agent": "echo", "trigger": {"type": "manual"}, "input": {"order": "{{ input.order }}"}},
    }
}


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Hector = Callable[..., Done]


@pytest.fixture(params=["here", pytest.param("at an address", marks=pytest.mark.sampled())])
def hector(
    request: pytest.FixtureRequest,
    live_server: LiveServer,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Hector:
    """Runs a command in the App `acme`, which has the agents of DOCUMENT."""
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    apply(lifecycle.get("acme"), DOCUMENT, by="tests")
    monkeypatch.setenv("HECTOR_ROLE", "")  # these two are set by it, and set back
    monkeypatch.setenv("HECTOR_LOG_LEVEL", "error")
    where = ["--app", "acme"]
    if request.param != "here":
        where = ["--url", live_server.url]
        monkeypatch.setenv("HECTOR_TOKEN", issue_app_token("acme", role="admin"))

    def run(name: str, *arguments: str) -> Done:
        capsys.readouterr()
        code = main([name, *arguments, *where])
        told = capsys.readouterr()
        err = "".join(line for line in told.err.splitlines(keepends=True) if not line.startswith("{"))  # but logs
        return Done(code, told.out, err)

    return run
