"""`type: mcp`: a real MCP server as a child process and over HTTP, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_ai.toolsets import AbstractToolset
from pytest_django import Settings

from apps.agents.errors import PermanentError, RetryableError
from apps.agents.registry import BuildContext
from apps.agents.tools.mcp import McpSpec, build
from tests.agents.running import call, until
from tests.support import mcp_server
from tests.support.http_server import Answer, LocalServer
from tests.support.mcp_server import HttpMcpServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
ROOT = Path(mcp_server.__file__).parents[2]
STDIO = {"command": sys.executable, "args": ["-m", "tests.support.mcp_server"], "env": {"PYTHONPATH": str(ROOT)}}
Tools = AbstractToolset[Any]
Open = Callable[..., Any]


@pytest.fixture(autouse=True)
def _this_machine_is_allowed(settings: Settings) -> None:
    settings.HECTOR_HTTP_ALLOW = ["127.0.0.1"]


@pytest.fixture(scope="module")
def server() -> Iterator[HttpMcpServer]:
    """One for all tests, for it takes seconds to start."""
    with HttpMcpServer() as server:
        yield server


@pytest.fixture
def mortal() -> Iterator[HttpMcpServer]:
    """One that the test may kill."""
    with HttpMcpServer() as server:
        yield server


@pytest.fixture
async def opened(context: BuildContext) -> AsyncIterator[Open]:
    """Builds an mcp tool and keeps it open for the test, as a worker does."""
    async with AsyncExitStack() as stack:

        async def opened(**spec: Any) -> Tools:
            return await stack.enter_async_context(tool(context, **spec))

        yield opened


def tool(context: BuildContext, **spec: Any) -> Tools:
    return build("tickets", McpSpec.model_validate({"type": "mcp", **spec}), context)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def names(toolset: Tools) -> list[str]:
    model = TestModel(call_tools=[])
    await Agent(model, toolsets=[toolset]).run("what is there?")
    assert model.last_model_request_parameters is not None
    return [found.name for found in model.last_model_request_parameters.function_tools]


@pytest.mark.parametrize("kind", ["stdio", "http"])
async def test_tools_of_a_server_can_be_called(opened: Open, server: HttpMcpServer, kind: str) -> None:
    toolset = await opened(**(STDIO if kind == "stdio" else {"url": server.url}))

    assert (await call(toolset, "echo", text="hello")).content == "hello"
    assert (await call(toolset, "add", a=2, b=3)).content == 5


async def test_a_filter_offers_only_what_it_names(opened: Open, server: HttpMcpServer) -> None:
    toolset = await opened(url=server.url, filter=["echo", "add"])

    assert await names(toolset) == ["echo", "add"]
    answer = await call(toolset, "boom")
    assert answer.outcome == "retried"
    assert "Unknown tool" in str(answer.content)


async def test_a_filter_that_names_no_tool_is_a_configuration_error(opened: Open, server: HttpMcpServer) -> None:
    with pytest.raises(PermanentError, match="has no tool no_such_tool"):
        await names(await opened(url=server.url, filter=["no_such_tool"]))


async def test_a_tool_says_how_it_is_to_be_treated(opened: Open, server: HttpMcpServer) -> None:
    toolset = await opened(url=server.url, idempotent=True, timeout="9s")
    model = TestModel(call_tools=[])
    await Agent(model, toolsets=[toolset]).run("what is there?")

    assert model.last_model_request_parameters is not None
    metadata = model.last_model_request_parameters.function_tools[0].metadata
    assert metadata is not None
    assert metadata["hector"] == {"tool": "tickets", "idempotent": True, "timeout": 9.0}


async def test_an_error_of_a_tool_is_told_to_the_model(opened: Open, server: HttpMcpServer) -> None:
    answer = await call(await opened(url=server.url), "boom")

    assert answer.outcome == "failed"
    assert "the fuse is gone" in str(answer.content)


async def test_wrong_arguments_are_told_to_the_model(opened: Open, server: HttpMcpServer) -> None:
    answer = await call(await opened(url=server.url), "add", a="two", b=3)

    assert answer.outcome == "failed"


# --- A child process ------------------------------------------------------------------------------------------------
async def test_a_child_runs_in_the_apps_directory_without_the_workers_environment(
    opened: Open, context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HECTOR_AUTH_SECRET", "the operator's")
    env = {**STDIO["env"], "API_KEY": "${secret:TOKEN}"}  # type: ignore[dict-item]
    seen = (await call(await opened(**{**STDIO, "env": env}), "process")).content

    assert seen["cwd"] == str(context.workdir)
    assert seen["env"]["API_KEY"] == "s3cr3t-value"
    assert seen["env"]["HOME"] == str(context.workdir)
    assert seen["env"].keys() <= {
        *("PATH", "HOME", "LANG", "LC_CTYPE", "PYTHONPATH", "API_KEY"),
        *("LOGNAME", "SHELL", "TERM", "USER"),
    }


async def test_a_connection_is_kept_between_tasks_and_closed_with_its_processes(
    context: BuildContext, tmp_path: Path
) -> None:
    toolset = tool(context, **STDIO)
    async with toolset:
        pids = {(await call(toolset, "process")).content["pid"] for _ in range(3)}
        await call(toolset, "child", pid_file=str(tmp_path / "child"))

    assert len(pids) == 1
    assert gone(pids.pop())
    await until(lambda: gone(int((tmp_path / "child").read_text())))


async def test_a_child_dies_with_a_worker_that_is_killed(context: BuildContext, tmp_path: Path) -> None:
    """kill -9: the worker has no chance to clean up."""
    marker = tmp_path / "child"
    script = textwrap.dedent(f"""
        import asyncio, os
        os.environ["DJANGO_SETTINGS_MODULE"] = "hector_site.settings"
        os.environ["HECTOR_HOME"] = {str(tmp_path / "home")!r}
        from pathlib import Path
        from apps.agents.registry import BuildContext
        from apps.agents.tools.mcp import McpSpec, build
        from tests.agents.running import call

        async def main():
            context = BuildContext("default", Path({str(context.workdir)!r}), str)
            toolset = build("tickets", McpSpec.model_validate({{"type": "mcp", **{STDIO!r}}}), context)
            async with toolset:
                await call(toolset, "child", pid_file={str(marker)!r})
                await asyncio.sleep(600)

        asyncio.run(main())
    """)
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", script, cwd=ROOT)
    try:
        await until(lambda: marker.exists() and bool(marker.read_text()), within=60)
        server = psutil.Process(int(marker.read_text())).parent()
        assert server is not None
    finally:
        worker.kill()
        await worker.wait()

    await until(lambda: gone(server.pid) and gone(int(marker.read_text())))


@pytest.mark.parametrize("program", ["no-such-program", "./no-such-program"])
async def test_a_program_that_is_not_there_is_a_permanent_error(opened: Open, program: str) -> None:
    with pytest.raises(PermanentError, match="is not there"):
        await names(await opened(command=program))


async def test_a_program_that_is_no_mcp_server_is_no_hang(opened: Open) -> None:
    with pytest.raises(RetryableError):
        await names(await opened(command="true"))


# --- Over HTTP ------------------------------------------------------------------------------------------------------
async def test_headers_carry_secrets(opened: Open, server: HttpMcpServer) -> None:
    toolset = await opened(url=server.url, headers={"X-Key": "${secret:TOKEN}"})

    assert (await call(toolset, "header", name="x-key")).content == "s3cr3t-value"


async def test_a_server_that_is_not_there_may_come_back(opened: Open) -> None:
    with pytest.raises(RetryableError) as raised:
        await names(await opened(url="http://127.0.0.1:1/mcp"))

    assert raised.value.code == "mcp_unreachable"


@pytest.mark.parametrize("url", ["http://169.254.169.254/mcp", "http://localhost:1/mcp"])
async def test_a_private_address_is_refused(opened: Open, settings: Settings, url: str) -> None:
    settings.HECTOR_HTTP_ALLOW = []

    with pytest.raises(PermanentError, match="may not reach"):
        await names(await opened(url=url))


async def test_a_redirect_is_not_followed(opened: Open, server: HttpMcpServer) -> None:
    with (
        LocalServer(lambda request: Answer(status=307, headers={"Location": server.url})) as elsewhere,
        pytest.raises(RetryableError),
    ):
        await names(await opened(url=elsewhere.url))


# --- Gone -----------------------------------------------------------------------------------------------------------
async def test_a_child_that_dies_in_a_call_fails_that_call_and_is_started_anew(opened: Open) -> None:
    toolset = await opened(**STDIO)

    answer = await asyncio.wait_for(call(toolset, "die"), timeout=30)

    assert answer.outcome == "failed"
    assert "may have run" in str(answer.content)
    assert (await call(toolset, "echo", text="back")).content == "back"


async def test_a_server_that_dies_in_a_call_is_no_hang(opened: Open, mortal: HttpMcpServer) -> None:
    toolset = await opened(url=mortal.url)

    with pytest.raises(RetryableError):  # the call failed, and then there was no server for the next request
        await asyncio.wait_for(call(toolset, "die"), timeout=30)


async def test_a_restarted_server_is_found_again(opened: Open, mortal: HttpMcpServer) -> None:
    toolset = await opened(url=mortal.url)
    await call(toolset, "echo", text="before")
    mortal.kill()
    mortal.start()

    first = await call(toolset, "echo", text="after")
    second = await call(toolset, "echo", text="after")

    assert first.outcome in ("success", "failed")
    assert second.content == "after"


@pytest.mark.parametrize("kind", ["stdio", "http"])
async def test_a_cancelled_call_ends_at_once_and_harms_no_other(
    opened: Open, server: HttpMcpServer, tmp_path: Path, kind: str
) -> None:
    toolset = await opened(**(STDIO if kind == "stdio" else {"url": server.url}))
    begun = [tmp_path / "calling", tmp_path / "other"]
    calling = asyncio.create_task(call(toolset, "slow", seconds=600, started=str(begun[0])))
    other = asyncio.create_task(call(toolset, "slow", seconds=0.5, started=str(begun[1])))
    await until(lambda: all(file.exists() for file in begun), within=30)

    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(calling, timeout=2)

    assert (await other).content == "done"
    assert (await call(toolset, "echo", text="still there")).content == "still there"


# --- The document ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"url": "http://host/mcp", "command": "server"},
        {"url": "ftp://host/mcp"},
        {"url": "http://host/mcp", "args": ["x"]},
        {"command": "server", "headers": {"A": "b"}},
        {"command": "server", "env": {"A=B": "c"}},
    ],
)
def test_a_server_that_cannot_work_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        McpSpec.model_validate({"type": "mcp", **spec})
