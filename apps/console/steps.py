"""A task's checkpoints as people read them: what each one records, of which tool or model."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from apps.tasks import replay
from apps.tasks.models import Checkpoint, Task

SHOWN = 100
LARGEST = 262144  # bytes of a model turn that is read for its calls

Kind = Checkpoint.Kind
_TOOL = {
    Kind.TOOL_STARTED.value: ("build", "started"),
    Kind.TOOL_RESULT.value: ("build_circle", "answered"),
    Kind.TOOL_FAILED.value: ("error", "broke off"),
    Kind.TOOL_DECIDED.value: ("how_to_reg", "approved"),
}


@dataclass(frozen=True)
class Step:
    seq: int
    icon: str
    what: str
    checkpoint: Checkpoint  # without its value; with `resumable`


@dataclass(frozen=True)
class Steps:
    newest_first: list[Step]
    more: bool  # whether there are earlier ones


def of(task: Task) -> Steps:
    """All that the task has recorded."""
    return _read(task, replay.with_resumable(Checkpoint.objects.filter(task=task)))


def to_go_on_from(task: Task) -> Steps:
    return _read(task, replay.with_resumable(replay.points(task)))


def _read(task: Task, found: QuerySet[Checkpoint]) -> Steps:
    points = list(found.defer("value", "packed").order_by("-seq")[: SHOWN + 1])
    shown = points[:SHOWN]
    turns = {turn.seq: turn for turn in _turns(task, shown)}
    tools: dict[str, str] = {}  # by the key of a call; keys repeat after a retry, so they are taken up in order
    steps = []
    for point in sorted((turns | {point.seq: point for point in shown}).values(), key=lambda point: point.seq):
        turn = turns.get(point.seq)
        calls = replay.calls_of(turn) if turn else []
        tools.update((call.call, call.tool) for call in calls)
        if point.kind == Kind.MODEL:
            icon, what = "smart_toy", _answer(turn, ", ".join(call.tool for call in calls))
        elif point.kind == Kind.LIMIT_RAISED:
            icon, what = "speed", "Limit raised"
        elif point.kind == Kind.SESSION:
            icon, what = "forum", "Begun with what the session had"
        else:
            icon, ended = _TOOL.get(point.kind, ("flag", point.kind))
            what = _words("Tool", tools.get(point.key, ""), ended)
        steps.append(Step(point.seq, icon, what, point))
    wanted = {point.seq for point in shown}
    return Steps([step for step in reversed(steps) if step.seq in wanted], len(points) > SHOWN)


def _turns(task: Task, points: list[Checkpoint]) -> QuerySet[Checkpoint]:
    """The model turns among the points, and those that asked for the calls among them."""
    keys = {f"model:{point.key.split(':')[1]}" for point in points if ":" in point.key}
    return Checkpoint.objects.filter(task=task, kind=Kind.MODEL, key__in=keys, size__lte=LARGEST)


def _answer(turn: Checkpoint | None, asked_for: str) -> str:
    messages = turn.content.get("messages", []) if turn else []
    name = next((message["model_name"] for message in messages if message.get("model_name")), "")
    return _words("Model", name, f"asked for {asked_for}" if asked_for else "answered")


def _words(*words: str) -> str:
    return " ".join(word for word in words if word)
