"""What the tests of models and tools share."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.registry import BuildContext


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def secrets() -> dict[str, str]:
    """The App's secrets; a test may add some."""
    return {"TOKEN": "s3cr3t-value"}


@pytest.fixture
def context(tmp_path: Path, secrets: dict[str, str]) -> BuildContext:
    def resolve(text: str) -> str:
        for name, value in secrets.items():
            text = text.replace(f"${{secret:{name}}}", value)
        return text

    workdir = tmp_path / "workdir"
    workdir.mkdir()
    return BuildContext(app="default", workdir=workdir, resolve=resolve)


@pytest.fixture(autouse=True, scope="session")
def _registered() -> None:
    """Where the app registry has not done it."""
    from apps.agents import llms, tools

    llms.register()
    tools.register()
