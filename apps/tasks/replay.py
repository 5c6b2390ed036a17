"""Taking a task's journal up again at a checkpoint: where that is possible, and what runs anew then.

The journal stays append-only: checkpoints behind the chosen one are set aside (`Checkpoint.set_aside`), which keeps
them as a record and out of the history that the task goes on from. What they recorded is not undone: a tool that they
say has run has had its effect.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, F, Q, QuerySet

from apps.tasks import checkpoints
from apps.tasks.errors import NotResumable
from apps.tasks.models import Checkpoint, Task

Kind = Checkpoint.Kind
POINTS = (Kind.MODEL, Kind.TOOL_RESULT)  # nothing is half done after these
MOST_NAMED = 100  # points in a complaint, calls in a list
_OUTPUT_TOOL = "final_result"  # Pydantic AI's name for the "call" that is a structured answer; nothing runs for it


@dataclass(frozen=True)
class ToolCall:
    tool: str
    call: str  # the journal's key


@dataclass(frozen=True)
class Replay:
    """What becomes of a journal. It says what is known: which calls a model asks for next is up to the model."""

    from_checkpoint: int | None  # the last one that is kept; None: from the beginning
    tool_calls: tuple[ToolCall, ...] = ()  # asked for by the last kept model turn and without a kept result: these run
    in_doubt: tuple[ToolCall, ...] = ()  # of the same, those that had begun: a person is asked before anything else
    model_turns: int = 0  # that are set aside; the model is asked anew
    set_aside: tuple[ToolCall, ...] = ()  # calls whose record is set aside: they run again if the model asks again

    def as_json(self) -> dict[str, Any]:
        return {
            "from_checkpoint": self.from_checkpoint,
            "tool_calls": _as_json(self.tool_calls),
            "in_doubt": _as_json(self.in_doubt),
            "set_aside": {"model_turns": self.model_turns, "tool_calls": _as_json(self.set_aside)},
        }

    def sentence(self) -> str:
        """The same for people."""
        parts = ["It starts from the beginning."]
        if self.from_checkpoint is not None:
            parts = [
                f"It goes on after checkpoint {self.from_checkpoint}; what is recorded up to there is not repeated."
            ]
        if self.tool_calls:
            parts.append(f"These calls run: {_names(self.tool_calls)}.")
        if self.in_doubt:
            parts.append(f"A person is asked first, since nobody knows whether they ran: {_names(self.in_doubt)}.")
        if self.model_turns:
            turns = "one recorded answer is" if self.model_turns == 1 else f"{self.model_turns} recorded answers are"
            parts.append(f"The model is asked anew: {turns} set aside.")
        if self.set_aside:
            parts.append(f"These calls ran before, and run again if the model asks again: {_names(self.set_aside)}.")
        return " ".join(parts)


def points(task: Task) -> QuerySet[Checkpoint]:
    """The checkpoints that the task can be retried or forked from, in order."""
    return checkpoints.of(task).filter(kind__in=POINTS)


def with_resumable(found: QuerySet[Checkpoint]) -> QuerySet[Checkpoint]:
    """Each with `resumable`: whether it is one of its task's `points`."""
    possible = Q(kind__in=POINTS, set_aside=False, seq__gt=F("task__journal_start"))
    return found.annotate(resumable=ExpressionWrapper(possible, output_field=BooleanField()))


def plan(task: Task, from_checkpoint: int | None = None, *, anew: bool = False) -> Replay:
    """What happens if the task goes on after that checkpoint, or after its last one, or begins `anew`.

    Raises NotResumable.
    """
    journal = list(checkpoints.of(task).defer("value", "packed"))
    if anew or from_checkpoint is not None:  # decisions about calls are not kept (`set_aside_behind`)
        journal = [point for point in journal if point.kind != Kind.TOOL_DECIDED]
    at = 0 if anew else from_checkpoint or (journal[-1].seq if journal else 0)
    if from_checkpoint is not None:
        _check(task, from_checkpoint, journal)
    kept, behind = [point for point in journal if point.seq <= at], [point for point in journal if point.seq > at]
    last_turn = [point for point in kept if point.kind == Kind.MODEL][-1:]
    answered = {point.key for point in kept if point.kind == Kind.TOOL_RESULT}
    in_doubt = _in_doubt(kept)
    wanted = [call for call in _calls(last_turn) if call.call not in answered]
    has_run = {point.key for point in behind}
    turns = [point for point in behind if point.kind == Kind.MODEL]
    return Replay(
        at or None,
        tuple([call for call in wanted if call.call not in in_doubt][:MOST_NAMED]),
        tuple([call for call in wanted if call.call in in_doubt][:MOST_NAMED]),
        len(turns),
        tuple([call for call in _calls(turns) if call.call in has_run][:MOST_NAMED]),
    )


def set_aside_behind(task: Task, seq: int) -> None:
    """Leaves out what the (locked) task's journal has behind that checkpoint.

    What people had decided about calls goes too: a decision covers one execution, which may be what is left out.
    """
    checkpoints.of(task).filter(Q(seq__gt=seq) | Q(kind=Kind.TOOL_DECIDED)).order_by().update(set_aside=True)


def _check(task: Task, wanted: int, journal: list[Checkpoint]) -> None:
    possible = [point.seq for point in journal if point.kind in POINTS]
    if wanted in possible:
        return
    if not possible:
        raise NotResumable(f"there is no checkpoint to go on from: task {task.pk} has recorded none")
    shown = ", ".join(str(seq) for seq in possible[-MOST_NAMED:])
    more = "…, " if len(possible) > MOST_NAMED else ""
    raise NotResumable(
        f"checkpoint {wanted} is not one to go on from; these are, each after a model turn or a tool's result:"
        f" {more}{shown}"
    )


def _in_doubt(kept: Iterable[Checkpoint]) -> set[str]:
    """The keys of calls that have begun and of which nothing later is known."""
    keys: set[str] = set()
    for point in kept:
        if point.kind == Kind.TOOL_STARTED:
            keys.add(point.key)
        else:
            keys.discard(point.key)
    return keys


def _calls(turns: Iterable[Checkpoint]) -> list[ToolCall]:
    """The tool calls that these model turns ask for."""
    found = Checkpoint.objects.filter(pk__in=[turn.pk for turn in turns]).order_by("seq")
    return [call for turn in found for call in calls_of(turn)]


def calls_of(turn: Checkpoint) -> list[ToolCall]:
    """The tool calls that a model turn asks for."""
    return calls_in(turn.content, int(turn.key.partition(":")[2]))


def calls_in(turn: dict[str, Any], number: int) -> list[ToolCall]:
    """The same of the turn's content; `number` counts the turns of the journal from 1."""
    return [
        ToolCall(part["tool_name"], checkpoints.call_key(number, part["tool_call_id"]))
        for message in turn.get("messages", [])
        for part in message.get("parts", ())
        if part.get("part_kind") == "tool-call" and part["tool_name"] != _OUTPUT_TOOL
    ]


def _as_json(calls: Iterable[ToolCall]) -> list[dict[str, str]]:
    return [{"tool": call.tool, "call": call.call} for call in calls]


def _names(calls: Iterable[ToolCall]) -> str:
    return ", ".join(call.tool for call in calls)
