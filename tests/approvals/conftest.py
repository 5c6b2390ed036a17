"""An App with an agent that may charge cards."""

from __future__ import annotations

from typing import Any

import pytest

from apps.tenancy.models import App
from tests.support.agents import apply, call, function_tool, one_llm_agent


@pytest.fixture(autouse=True)
def _agent(app: App, settings: Any) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    turns = (call("charge", amount=5), {"text": "Paid."})
    apply(app, one_llm_agent(*turns, tools={"charge": function_tool("charge")}), by="tests")
