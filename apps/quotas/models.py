"""What was used within windows of time (App schema). Counted by `apps.quotas.counting` alone."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Use(models.Model):
    """How much of one resource was used in one window: by all of the App, by one caller, or by one agent.

    It stands in the App's own schema, so that it is written in one transaction with what it counts; on SQLite, one
    across two files may be cut in half. Money is counted in units of 10^-9 USD, so that sums are exact.
    """

    class Kind(models.TextChoices):
        APP = "app"
        CALLER = "caller"  # `name` is that of events and of a task's `created_by`
        AGENT = "agent"

    class Resource(models.TextChoices):
        REQUESTS = "requests"  # to the API
        TASKS = "tasks"  # accepted
        TOKENS = "tokens"  # of models, in and out
        COST = "cost_usd"

    resource = models.CharField(max_length=8, choices=Resource)
    seconds = models.BigIntegerField()  # the length of the window
    start = models.BigIntegerField()  # of the window: seconds since 1970, a multiple of its length
    kind = models.CharField(max_length=6, choices=Kind)
    name = models.CharField(max_length=200, default="")
    used = models.BigIntegerField()
    raised_to = models.BigIntegerField(default=0, db_default=0)  # what people have raised the limit to, in this window
    most = models.BigIntegerField(null=True)  # the limit of when it was counted last; null: none

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["resource", "seconds", "start", "kind", "name"], name="use_once"),
            models.CheckConstraint(condition=Q(seconds__gt=0, used__gte=0, raised_to__gte=0), name="use_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.resource} of {self.name or 'the App'}"
