"""Hector inside a program: what it accepts, runs and says, in one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import hector
from apps.tasks.models import Task as Row
from apps.tenancy.context import in_app
from hector import AgentRuntime, AgentRuntimeConfig, CannotStart, EntryPointSpec, EventType, errors
from hector_site.sharing import HomeTaken, work_here
from tests.runtime import programs
from tests.support.agents import call, document, scripted

UNKNOWN = "01900000-0000-7000-8000-000000000000"
DOCUMENT = document(
    {"clerk": {"type": "llm", "llm": "main", "tools": ["pay_back"]}},
    {"main": scripted(call("pay_back", amount=3), {"text": "Done."})},
)
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _importable(settings: Any) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.runtime"]


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[AgentRuntime]:
    async with AgentRuntime(config=AgentRuntimeConfig(app="acme", **config)) as runtime:
        yield runtime


def test_functions_are_agents() -> None:
    async def scenario() -> None:
        async with running() as runtime:
            for agent in ("repeat", "repeat_async"):
                task = await runtime.wait_for_completion(await runtime.submit(agent, "hello"), timeout=20)
                assert (task.status, task.output) == ("completed", {"again": "hello"})
            assert (await runtime.client.agents.get("repeat")).description == "Says it again"

    asyncio.run(scenario())


def test_functions_are_tools_and_people_decide_about_their_calls() -> None:
    async def scenario() -> None:
        async with running(document=DOCUMENT) as runtime:
            id = await runtime.submit("clerk", "hello")
            await until(lambda: waits(runtime))
            [approval] = [one async for one in runtime.client.approvals.list(status="open")]
            assert (approval.tool, approval.arguments) == ("pay_back", {"amount": 3})
            decided = await runtime.client.approvals.decide(approval.id, "approve")
            assert decided.decisions[0].actor == "program"
            assert (await runtime.wait_for_completion(id, timeout=20)).status == "completed"
            events = [event async for event in runtime.client.tasks.follow(id)]
            assert events[-1].type == "execution_completed"

    async def waits(runtime: AgentRuntime) -> bool:
        return bool([one async for one in runtime.client.approvals.list(status="open")])

    asyncio.run(scenario())


def test_an_entry_point_is_triggered_and_its_events_are_heard() -> None:
    heard: list[tuple[str, str]] = []

    async def scenario() -> None:
        runtime = AgentRuntime(config=AgentRuntimeConfig(app="acme"))
        runtime.register_entry_point(EntryPointSpec("twice", "repeat", input={"text": "{{ input }}, {{ input }}"}))

        @runtime.on(EventType.EXECUTION_STARTED)
        def starts(event: Any) -> None:
            heard.append((event.type, event.entry_point))
            raise ValueError("which keeps nothing back")

        async with runtime:

            @runtime.on(EventType.EXECUTION_COMPLETED)
            async def ends(event: Any) -> None:
                heard.append((event.type, event.task))

            task = await runtime.wait_for_completion(await runtime.trigger("twice", "hello"), timeout=20)
            assert (task.entry_point, task.output) == ("twice", {"again": "hello, hello"})
            await until(lambda: asyncio.sleep(0, len(heard) == 2))
            assert heard == [("execution_started", "twice"), ("execution_completed", task.id)]
            stats = await runtime.get_stats()
            assert stats.running <= 1 and not stats.entry_points["twice"].paused
            with pytest.raises(errors.NotFound):
                await runtime.trigger("nobody")

    asyncio.run(scenario())


def test_timers_stay_paused_until_they_are_resumed() -> None:
    async def scenario() -> None:
        runtime = AgentRuntime(config=AgentRuntimeConfig(app="acme"))
        runtime.register_entry_point(EntryPointSpec("often", "repeat", trigger={"type": "timer", "interval": "1h"}))
        async with runtime:
            await runtime.pause_timers(reason="Maintenance")
            assert await next_runs(runtime) == 0
        async with runtime:
            assert await next_runs(runtime) == 0
            await runtime.resume_timers()
            assert await next_runs(runtime) > 0

    async def next_runs(runtime: AgentRuntime) -> int:
        return len((await runtime.client.entry_points.get("often")).next_runs)

    asyncio.run(scenario())


def test_waiting_tells_late_and_unknown_apart() -> None:
    async def scenario() -> None:
        async with running() as runtime:
            id = await runtime.submit("repeat", "hello", run_at=later())
            with pytest.raises(errors.NotFinished):
                await runtime.wait_for_completion(id, timeout=0.05)
            with pytest.raises(errors.NotFound):
                await runtime.wait_for_completion(UNKNOWN, timeout=1)
            with pytest.raises(errors.UnknownAgent):
                await runtime.submit("nobody", "hello")

    asyncio.run(scenario())


def test_a_stream_that_nobody_reads_any_more_ends_at_once() -> None:
    async def scenario() -> float:
        async with running() as runtime:
            id = await runtime.submit("repeat", "hello", run_at=later())
            following = asyncio.create_task(last(runtime.client.tasks.follow(id)))
            await until(lambda: asyncio.sleep(0.05, result=True))
            following.cancel()
            begun = time.monotonic()
        return time.monotonic() - begun

    async def last(events: Any) -> None:
        async for _ in events:
            pass

    assert asyncio.run(scenario()) < 5


def test_what_was_accepted_runs_after_the_next_start() -> None:
    async def accepts() -> str:
        async with running() as runtime:
            await runtime.client.agents.pause("repeat")
            return await runtime.submit("repeat", "hello")

    async def goes_on(id: str) -> None:
        async with running() as runtime:
            await runtime.client.agents.resume("repeat")
            assert (await runtime.wait_for_completion(id, timeout=20)).status == "completed"

    id = asyncio.run(accepts())
    with in_app("acme"):
        assert Row.objects.get(pk=id).status == "pending"
    asyncio.run(goes_on(id))


def test_a_start_says_what_is_wrong() -> None:
    async def start(**config: Any) -> None:
        await AgentRuntime(config=AgentRuntimeConfig(**{"app": "acme", **config})).start()

    with pytest.raises(CannotStart, match="/agents/a/llm"):
        asyncio.run(start(document={"agents": {"a": {"llm": "nobody"}}}))
    with pytest.raises(CannotStart, match="nowhere"):
        asyncio.run(start(app="nowhere"))
    with pytest.raises(CannotStart, match="another installation already, by its HECTOR_HOME"):
        asyncio.run(start(home="/elsewhere"))
    with pytest.raises(CannotStart, match="has not been started"):
        _ = AgentRuntime().client


def test_a_program_with_functions_of_its_own_has_its_home_alone(settings: Any, on_postgresql: bool) -> None:
    settings.HECTOR_FUNCTION_ALLOW = []

    async def start() -> None:
        async with running() as runtime:
            task = await runtime.wait_for_completion(await runtime.submit("repeat", "hello"), timeout=20)
            assert task.status == "completed"
            with pytest.raises(HomeTaken, match="functions that only it has"):
                work_here(alone=False)

    if on_postgresql:
        with pytest.raises(CannotStart, match=r"could not import tests\.runtime\.programs"):
            asyncio.run(start())
        return
    asyncio.run(start())
    with work_here(alone=False), pytest.raises(CannotStart, match="cannot import this program's functions"):
        asyncio.run(start())


def test_runtimes_whose_functions_all_can_import_share_the_work() -> None:
    async def scenario() -> None:
        async with running() as one, running() as two:
            tasks = [await runtime.submit("repeat", "hello") for runtime in (one, two) * 5]
            ended = [await one.wait_for_completion(task, timeout=20) for task in tasks]
            assert {task.status for task in ended} == {"completed"}

    asyncio.run(scenario())


def test_a_function_that_no_task_could_find_again_is_no_agent() -> None:
    def inside(value: dict[str, Any]) -> None: ...

    with pytest.raises(ValueError, match="at the top of its module"):
        hector.agent(inside)
    with pytest.raises(ValueError, match=r"programs\.repeat is called 'repeat' already"):
        hector.agent(name="repeat")(programs.run_slowly)


def later() -> Any:
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC) + timedelta(days=1)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 20
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
