"""Sessions: what an agent's tasks that name the same one have in common (App schema).

Written by `apps.sessions.store` only.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from apps.tasks.models import KeptValue
from apps.tenancy.payloads import Payload


class Session(KeptValue):
    """The state that tasks share (the kept value, by key), and where the conversation is.

    `revision` counts the changes of the state. `marks` has for each key the revision of its last change, and the task
    that made it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.CharField(max_length=100)
    name = models.CharField(max_length=200)
    revision = models.PositiveIntegerField(default=0, db_default=0)
    marks = Payload(default=dict)
    turns_total = models.PositiveIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["agent", "name"], name="session_of_agent")]

    def __str__(self) -> str:
        return f"{self.name} of {self.agent}"


class Turn(KeptValue):
    """What one task has added to the conversation, once it was completed: its messages (the kept value). Append-only.

    The task may be pruned while its turn is kept, so it is no foreign key.
    """

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="turns")
    seq = models.PositiveIntegerField()  # counted from 1 without gaps
    task = models.UUIDField(unique=True)  # a task adds one turn
    messages = models.PositiveIntegerField()  # how many
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["session", "seq"]
        constraints = [models.UniqueConstraint(fields=["session", "seq"], name="session_turn_seq")]
