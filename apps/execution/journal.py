"""What a run remembers and writes down: the worker's side of `apps.tasks.journal`.

Writes are handed to the shift's database thread, which commits those of many runs together. `note` only hands in;
`sync` waits until all that was handed in is committed. Whoever is about to have an effect on the world syncs first.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter
from pydantic_ai.usage import RunUsage

from apps.agents.errors import PermanentError
from apps.agents.llms import chain
from apps.approvals import grants
from apps.approvals.models import Grant
from apps.queue.faults import Point, reach
from apps.queue.handler import Job
from apps.quotas.counting import Spent
from apps.quotas.models import Use
from apps.quotas.rules import units
from apps.tasks import checkpoints, journal, replay
from apps.tasks.events import EventType, NewEvent
from apps.tasks.journal import Change, NewCheckpoint, Run, Settlement
from apps.tasks.lifecycle import Started
from apps.tasks.models import Checkpoint

Kind, Resource = Checkpoint.Kind, Use.Resource


class Drained(Exception):
    """The worker is stopping and this run has reached a checkpoint: it is handed back."""


class CheckpointTooLarge(PermanentError):
    """What a model or a tool has answered is too large to be kept."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__("checkpoint_too_large", f"{what} is too large to be kept: it has {why}")


@dataclass(frozen=True)
class Decided:
    """People let a call run: once, and with arguments of this digest. `arguments`: if not simply those of the call."""

    approval: str
    digest: str
    by: str
    arguments: dict[str, Any] | None = None


@dataclass(frozen=True)
class Permit:
    """What lets a call run: a decision of people about it, a grant, or nothing but that nobody has to be asked."""

    decided: Decided | None = None
    arguments: dict[str, Any] | None = None  # those that people have changed the call to, if they have
    grant: Grant | None = None

    def facts(self) -> dict[str, Any]:
        return {"approval": self.decided.approval} if self.decided else {}


@dataclass(frozen=True)
class Recorded:
    """How a tool call ended: with a `value`, or as a `failed` or `retry` answer that the model gets."""

    kind: str  # value | failed | retry
    value: Any


@dataclass(frozen=True)
class Kept:
    """What a call has done to the session: for its record, and the write that belongs into the same transaction."""

    facts: dict[str, Any]
    write: Callable[[], object] | None


class RunJournal:
    """The journal of one run. Not thread-safe: it belongs to the run's event loop."""

    def __init__(self, job: Job, started: Started) -> None:
        self._caller = started.task.created_by
        self.run = Run(started.task.pk, started.task.agent, started.task.attempt, job.lease)
        self.usage: dict[str, Any] = dict(started.task.usage)
        self.secrets: Collection[str] = ()  # values that no error may show
        self._job = job
        self._changes = 0  # handed in so far
        self._pending: list[asyncio.Future[Any]] = []
        self._request: tuple[dict[str, Any], Stopwatch] | None = None  # under way
        self._bytes = sum(point.size for point in started.checkpoints)
        self._offset = started.turn_offset
        self._turns = [point.content for point in started.checkpoints if point.kind == Kind.MODEL]
        self._calls: dict[str, Recorded] = {}
        self._in_doubt: dict[str, dict[str, Any]] = {}  # calls that were started, each with the arguments if changed
        self._decided: dict[str, Decided] = {}  # calls that may start
        self._broke: dict[str, str] = {}  # calls that failed an attempt, each with its error
        self._raised: Counter[str] = Counter()  # what people have raised limits by
        self.session: dict[str, Any] = {}  # what the task has of its session …
        self.session_calls: list[dict[str, Any]] = []  # … and what its calls have read and written since, in order
        for point in started.checkpoints:
            self._remember(point)

    def _remember(self, point: Checkpoint) -> None:
        """Takes a checkpoint of an earlier attempt to heart. A decision is used up by the start that it allowed."""
        match point.kind:
            case Kind.TOOL_DECIDED:
                self._in_doubt.pop(point.key, None)
                mark = point.content
                arguments = mark.get("arguments")
                self._decided[point.key] = Decided(mark["approval"], mark["digest"], mark["by"], arguments)
            case Kind.TOOL_STARTED:
                self._decided.pop(point.key, None)
                self._in_doubt[point.key] = point.content
            case Kind.TOOL_RESULT:
                self._in_doubt.pop(point.key, None)
                result = point.content
                self._calls[point.key] = Recorded(result["kind"], result["value"])
                self.session_calls += [result["session"]] if "session" in result else []
            case Kind.TOOL_FAILED:
                self._in_doubt.pop(point.key, None)
                self._broke[point.key] = point.content.get("error", "")
            case Kind.SESSION:
                self.session = point.content
            case Kind.LIMIT_RAISED:
                self._raised[point.key.partition(":")[2]] += point.content["raise_by"]

    # --- What earlier attempts left ---------------------------------------------------------------------------------
    def history(self, prompt: str) -> list[ModelMessage]:
        """The conversation so far, ending with the model's last recorded answer; empty if there is none.

        It begins with the prompt: a task that goes on from a checkpoint with another input is told that one.
        """
        messages = checkpoints.restore(
            [message for turn in self._turns for message in turn["messages"]], self._results()
        )
        return ModelMessagesTypeAdapter.validate_python(_begun_with(prompt, messages))

    def _results(self) -> dict[str, Any]:
        return {key: call.value for key, call in self._calls.items()}

    def calls_to_make(self) -> int:
        """How many of the calls that the last model turn asks for have no result yet."""
        asked = replay.calls_in(self._turns[-1], len(self._turns)) if self._turns else []
        return sum(call.call not in self._calls for call in asked)

    def used(self) -> RunUsage:
        """What earlier attempts used up of the agent's limits."""
        return RunUsage(
            requests=len(self._turns),
            tool_calls=sum(call.kind == "value" for call in self._calls.values()),
            input_tokens=self.usage["input_tokens"],
            output_tokens=self.usage["output_tokens"],
            cost=Decimal(self.usage["cost_usd"]) or None,
        )

    def recorded(self, key: str) -> Recorded | None:
        return self._calls.get(key)

    def in_doubt(self, key: str) -> bool:
        """Whether an earlier attempt started this call and nobody knows how it ended."""
        return key in self._in_doubt

    def started_with(self, key: str) -> dict[str, Any] | None:
        """The arguments that people had changed a call in doubt to, if they had."""
        arguments: dict[str, Any] | None = self._in_doubt[key].get("arguments")
        return arguments

    def broke(self, key: str) -> str:
        """What this call failed an earlier attempt with; empty if it did not."""
        return self._broke.get(key, "")

    def raised(self, limit: str) -> float:
        """What people have raised the limit by."""
        return self._raised[limit]

    def decided(self, key: str) -> Decided | None:
        """What lets this call start, if people have decided about it."""
        return self._decided.get(key)

    # --- What this one adds -----------------------------------------------------------------------------------------
    def request_starts(self, model: str) -> int:
        """Notes that a model request is about to be sent; its number within the journal, counted from 0."""
        number: int = self.usage["requests"]
        self.usage["requests"] = number + 1
        self._request = {"request": number, "model": model}, Stopwatch()
        self.note(events=[NewEvent(EventType.LLM_STARTED, {"request": number, "model": model})])
        return number + self._offset

    def request_failed(self, error: str) -> None:
        """Notes that the request under way, if there is one, was not answered."""
        if self._request is not None:
            self.note(events=[NewEvent(EventType.LLM_COMPLETED, {**self._timed_request(), "error": error})])

    def _timed_request(self) -> dict[str, Any]:
        assert self._request is not None
        (facts, watch), self._request = self._request, None
        return {**facts, "seconds": watch.seconds()}

    def request_ended(self, messages: list[ModelMessage]) -> None:
        """Records a model turn: the messages since the last one, the model's answer last.

        Raises CheckpointTooLarge; then the turn is not recorded, and what it has cost is.
        """
        answer = messages[-1]
        assert answer.kind == "response"
        cost = chain.cost(answer)
        tokens = answer.usage.input_tokens + answer.usage.output_tokens
        spent = [Spent(self._caller, self.run.agent, tokens, units(Resource.COST, cost or 0))]
        self.usage["input_tokens"] += answer.usage.input_tokens
        self.usage["output_tokens"] += answer.usage.output_tokens
        self.usage["cost_usd"] = str(Decimal(self.usage["cost_usd"]) + (cost or 0))
        said = ModelMessagesTypeAdapter.dump_python(messages, mode="json")
        turn = {"messages": checkpoints.refer(said, len(self._turns), self._results())}
        point = NewCheckpoint(Kind.MODEL, f"model:{len(self._turns) + 1}", turn)
        payload = self._timed_request()
        payload |= {"input_tokens": answer.usage.input_tokens, "output_tokens": answer.usage.output_tokens}
        if answer.model_name:
            payload["model"] = answer.model_name  # the fallback that answered, perhaps
        if cost is not None:
            payload["cost_usd"] = str(cost)
        if why := self._too_large(point):
            self.note(events=[NewEvent(EventType.LLM_COMPLETED, {**payload, "error": why})], spent=spent)
            raise CheckpointTooLarge("The model's answer, with what it was told since the one before,", why)
        self._turns.append(turn)
        self.note([point], [NewEvent(EventType.LLM_COMPLETED, payload)], spent=spent)

    def call_starts(self, key: str, payload: dict[str, Any], permit: Permit, *, once: bool) -> None:
        """Notes that a tool is about to run; of one that must not run twice, as a checkpoint.

        That checkpoint uses up the decision that let it run.
        """
        changed = {} if permit.arguments is None else {"arguments": permit.arguments}
        started = [NewCheckpoint(Kind.TOOL_STARTED, key, {**permit.facts(), **changed})] if once else []
        events = [NewEvent(EventType.TOOL_CALL_STARTED, {**payload, **permit.facts()})]
        if permit.grant is not None:
            used = {"grant": str(permit.grant.pk), "tool": payload["tool"], "call": key}
            events.insert(0, NewEvent(EventType.GRANT_USED, used))
        self.note(started, events, also=[] if permit.grant is None else [partial(grants.count_use, permit.grant)])

    def session_opened(self, session: UUID, found: dict[str, Any]) -> None:
        """Records what the task has of its session, unless it is recorded. Raises CheckpointTooLarge."""
        self.run = replace(self.run, session=session)
        if found == self.session:
            return
        point = NewCheckpoint(Kind.SESSION, "session", found)
        if why := self._too_large(point):
            raise CheckpointTooLarge("What the session has", why)
        self.session = found
        self.note([point])

    def call_ended(self, key: str, recorded: Recorded, payload: dict[str, Any], kept: Kept | None = None) -> None:
        """Records how a tool call ended, with what it has `kept` in the session; it will not run again.

        Raises CheckpointTooLarge. The call has run all the same: that is recorded in place of its result, as an answer
        for the model, so that another attempt does not repeat it.
        """
        point = _result(key, recorded, kept)
        if why := self._too_large(point):
            error = CheckpointTooLarge(f"The result of the tool {payload['tool']}", why)
            recorded = Recorded("failed", error.message)
            self._keep(key, recorded, _result(key, recorded), {**payload, "error": error.message})
            raise error
        self._keep(key, recorded, point, payload, [kept.write] if kept and kept.write else [])

    def _keep(
        self,
        key: str,
        recorded: Recorded,
        point: NewCheckpoint,
        payload: dict[str, Any],
        also: Sequence[Callable[[], object]] = (),
    ) -> None:
        self._calls[key] = recorded
        self.note([point], [NewEvent(EventType.TOOL_CALL_COMPLETED, payload)], also=[*also])

    def _too_large(self, point: NewCheckpoint) -> str:
        return checkpoints.too_large(point.stored.size, self._bytes)

    def call_broke(self, key: str, payload: dict[str, Any]) -> None:
        """Records that a tool call failed the attempt; another attempt may run it again."""
        self.note(
            [NewCheckpoint(Kind.TOOL_FAILED, key, {"error": payload["error"]})],
            [NewEvent(EventType.TOOL_CALL_COMPLETED, payload)],
        )

    def note(
        self,
        checkpoints: list[NewCheckpoint] | None = None,
        events: list[NewEvent] | None = None,
        *,
        spent: list[Spent] | None = None,
        also: list[Callable[[], object]] | None = None,
    ) -> None:
        self._bytes += sum(point.stored.size for point in checkpoints or [])
        usage = dict(self.usage) if spent else None
        self._hand_in(Change(self.run, checkpoints or [], events or [], usage, also=also or [], spent=spent or []))

    async def sync(self) -> None:
        """Waits until everything is committed. Raises LostLease if this run does not own its task any more."""
        pending, self._pending = self._pending, []
        for written in pending:
            await written
        reach(Point.CHECKPOINT_WRITTEN)

    async def checkpoint(self) -> None:
        """A place to stop: everything is recorded, nothing is under way."""
        if self._job.stop == "drain":
            await self.sync()
            raise Drained

    async def settle(self, settlement: Settlement) -> None:
        """Ends the run. Raises LostLease if it was not this run's to end."""
        self._hand_in(Change(self.run, usage=dict(self.usage), settlement=settlement))
        await asyncio.shield(self.sync())

    def _hand_in(self, change: Change) -> None:
        for written in [done for done in self._pending if done.done()]:
            written.result()  # a refused write stops the run here
            self._pending.remove(written)
        self._changes += 1
        change.number = self._changes
        self._pending.append(self._job.database.write(self._job.app, journal.commit, change))


def _result(key: str, recorded: Recorded, kept: Kept | None = None) -> NewCheckpoint:
    session = {"session": kept.facts} if kept and kept.facts else {}
    return NewCheckpoint(Kind.TOOL_RESULT, key, {"kind": recorded.kind, "value": recorded.value, **session})


def _begun_with(prompt: str, messages: checkpoints.Messages) -> checkpoints.Messages:
    for number, part in enumerate(messages[0]["parts"] if messages else ()):
        if part["part_kind"] == "user-prompt" and part["content"] != prompt:
            parts = list(messages[0]["parts"])
            parts[number] = {**part, "content": prompt}
            return [{**messages[0], "parts": parts}, *messages[1:]]
    return messages


class Stopwatch:
    """Seconds since it was made, rounded for people."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def seconds(self) -> float:
        return round(time.monotonic() - self._start, 4)
