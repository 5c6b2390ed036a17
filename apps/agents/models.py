"""An App's configuration as stored: revisions of the document, its agents, and their pinned versions (App schema)."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.db.models.functions import Now


class OrderedJSON(models.TextField):  # type: ignore[type-arg]  # Django's class takes no type arguments at run time
    """JSON that keeps the order of its keys, as people wrote them and models read them (`jsonb` would sort them)."""

    _pyi_private_set_type: Any  # for django-stubs: any JSON may be assigned, and is what one gets
    _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Any:
        return None if value is None else json.loads(value)

    def get_prep_value(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)


class Revision(models.Model):
    """One applied state of the App's document. Rows are never changed; the newest one is in force."""

    number = models.PositiveIntegerField(unique=True)
    document = OrderedJSON()  # as written: `${secret:…}` references stay references
    author = models.CharField(max_length=200, default="", db_default="")
    comment = models.TextField(default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"revision {self.number}"


class AgentVersion(models.Model):
    """The resolved spec of an agent (`apps.agents.config.spec.AgentSpec`), stored once per content; never changes.

    A task pins one, so it resumes with the agent that it started with.
    """

    digest = models.CharField(max_length=71, unique=True)  # "sha256:" + hex
    spec = OrderedJSON()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.digest[:19]


class Agent(models.Model):
    """An agent that the configuration names now."""

    name = models.CharField(max_length=100, unique=True)
    type = models.CharField(max_length=20)
    description = models.TextField(default="", db_default="")
    version = models.ForeignKey(AgentVersion, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
