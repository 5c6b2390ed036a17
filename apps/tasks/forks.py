"""Forking: a new task that begins as another one did, or goes on from one of its checkpoints.

The fork is a task of its own: own attempts, usage, events and end. Of the other task (its parent) it has the agent,
session, priority, tags, metadata and limits, and a copy of the journal up to the checkpoint. Rows are copied, not
shared, so that each task can be pruned without the other; `HECTOR_CHECKPOINT_MAX_TOTAL` bounds what a copy can be.
Of the parent's session it has a copy: what the fork says and keeps does not become part of it a second time.
It has none of the parent's deadline, entry point or unique key: those were about the parent.

What the input does: without a checkpoint the fork starts from the beginning with it. With one, the conversation up to
there is kept and begins with the new input in place of the old one, so the model goes on from what was found out so far
as if it had been asked that from the start.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.agents.models import Agent, AgentVersion
from apps.agents.versions import spec_of
from apps.queue import entries, sql
from apps.tasks import admission, lifecycle, replay
from apps.tasks.errors import NoNewestVersion, NotResumable
from apps.tasks.events import EventType, NewEvent, append_events, record
from apps.tasks.models import Isolation, Task, TaskStatus
from apps.tasks.replay import Replay
from apps.tenancy.models import App


def fork(
    app: App,
    parent: Task,
    *,
    by: str,
    from_checkpoint: int | None = None,
    new_input: Any = None,
    newest: bool = False,
    reason: str = "",
) -> Task:
    """Makes and queues a fork, whatever the parent's state. Called inside the App.

    `newest` gives it the agent's newest version in place of the parent's. A call that is in doubt
    in the copied journal is so in the fork: it asks. It counts as a new task. Raises NotResumable, InputInvalid,
    NoNewestVersion or TooMuch.
    """
    with transaction.atomic():
        lifecycle.lock(parent)
        plan = plan_of(parent, from_checkpoint)
        version = _newest(parent) if newest else parent.agent_version
        if from_checkpoint is not None and spec_of(version).type != spec_of(parent.agent_version).type:
            raise NotResumable("the newest version of the agent is of another type: it cannot go on from a checkpoint")
        child = _child(parent, version, new_input, from_checkpoint, by)
        admission.count(app, [child], by=by)
        child.save(force_insert=True)
        if from_checkpoint is not None:
            _copy_journal(parent, child, from_checkpoint)
        why = {"reason": reason} if reason else {}
        made = {"to": TaskStatus.PENDING.value, "forked_from": str(parent.pk), **plan.as_json(), **why}
        append_events([(child.pk, 0, NewEvent(EventType.STATE_CHANGED, made, by))])
        seen = {"task": str(child.pk), "from_checkpoint": from_checkpoint, **why}
        record(parent.pk, NewEvent(EventType.FORKED, seen, by))
        entries.enqueue(app, [lifecycle.entry_of(child)])
    return child


def plan_of(parent: Task, from_checkpoint: int | None) -> Replay:
    """What the fork has of the parent's work, and what it does anew. Raises NotResumable."""
    return replay.plan(parent, from_checkpoint, anew=from_checkpoint is None)


def _newest(parent: Task) -> AgentVersion:
    agent = Agent.objects.select_related("version").filter(name=parent.agent).first()
    if agent is None:
        raise NoNewestVersion(f"the App has no agent {parent.agent!r} any more; fork with the version that is pinned")
    return agent.version


def _child(parent: Task, version: AgentVersion, new_input: Any, from_checkpoint: int | None, by: str) -> Task:
    return Task(
        agent=parent.agent,
        agent_version=version,
        input=lifecycle.checked_input(version, parent.input if new_input is None else new_input),
        session=parent.session,
        isolation=Isolation.ISOLATED if parent.session else "",
        priority=parent.priority,
        tags=parent.tags,
        metadata=parent.metadata,
        max_retries=parent.max_retries,
        timeout_seconds=parent.timeout_seconds,
        caused_by=parent.caused_by,
        chain=parent.chain,
        forked_from=parent,
        forked_at_checkpoint=from_checkpoint,
        created_by=by,
        last_seq=1,
        created_at=timezone.now(),
    )


def _copy_journal(parent: Task, child: Task, up_to: int) -> None:
    """Copies what the parent goes on from, numbered anew from 1; epoch 0 says that it is a copy.

    What people have decided stays behind: it was about the parent.
    """
    sql.execute(
        "INSERT INTO tasks_checkpoint (task_id, seq, kind, key, value, packed, size, set_aside, epoch, created_at)"
        " SELECT %s, ROW_NUMBER() OVER (ORDER BY seq), kind, key, value, packed, size, set_aside, 0, created_at"
        " FROM tasks_checkpoint WHERE task_id = %s AND seq > %s AND seq <= %s AND NOT set_aside"
        " AND kind NOT IN ('tool_decided', 'limit_raised')",
        [sql.uid(child.pk), sql.uid(parent.pk), parent.journal_start, up_to],
    )
    [(count, size)] = sql.fetch(
        "SELECT COUNT(*), SUM(size) FROM tasks_checkpoint WHERE task_id = %s", [sql.uid(child.pk)]
    )
    child.last_checkpoint = count
    child.checkpoint_bytes = int(size)
    child.save(update_fields=["last_checkpoint", "checkpoint_bytes"])
