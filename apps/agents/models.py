"""An App's configuration as stored: revisions of the document, its agents, and their pinned versions (App schema)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Revision(models.Model):
    """One applied state of the App's document. Rows are never changed; the newest one is in force."""

    number = models.PositiveIntegerField(unique=True)
    document = models.JSONField()  # as written: `${secret:…}` references stay references
    author = models.CharField(max_length=200, default="", db_default="")
    comment = models.TextField(default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"revision {self.number}"


class AgentVersion(models.Model):
    """The resolved spec of an agent (`apps.agents.config.AgentSpec`), stored once per content; never changes.

    A task pins one, so it resumes with the agent that it started with.
    """

    digest = models.CharField(max_length=71, unique=True)  # "sha256:" + hex
    spec = models.JSONField()
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
