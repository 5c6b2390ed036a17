"""What only the operator of an installation may do: Apps, their documents, secrets and tokens; queue and workers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from hector.client.agents import PauseResult
from hector.client.calls import UNSET, Call, Group, Page, Record, Unset, given, listing, operation, path
from hector.client.connection import Async, Sync
from hector.client.limits import Limits, NewLimits

C = TypeVar("C", Sync, Async)
Document = dict[str, Any]


class Retention(Record):
    """How long an App keeps what; `own` names the values that are not the installation's."""

    tasks: str
    tasks_max: int
    dead_letters: str
    notifications: str
    own: list[str]


class App(Record):
    name: str
    display_name: str
    status: str
    weight: int
    max_concurrent: int | None
    config: Document
    revision: int
    retention: Retention
    limits: Limits
    created_at: datetime


class CreatedApp(Record):
    """A new App, and a token for an admin of it."""

    app: App
    access_token: str
    token_type: str


class DeletedApp(Record):
    name: str
    status: str


class Revision(Record):
    number: int
    author: str
    comment: str
    created_at: datetime
    config: Document


class Secret(Record):
    """Its name: nobody can read the value."""

    name: str
    updated_at: datetime


class Token(Record):
    access_token: str
    token_type: str
    role: str
    expires_in: int


class IssuedToken(Record):
    """What is kept of a token."""

    id: str
    role: str
    sees_payloads: bool
    note: str
    limits: Limits
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    revoked_by: str


class QueueCounts(Record):
    ready: int
    scheduled: int
    leased: int
    parked: int


class Queue(QueueCounts):
    paused: bool
    reason: str
    max_concurrent: int | None
    running: int
    oldest_ready_seconds: float | None
    apps: dict[str, QueueCounts]


class Worker(Record):
    id: int
    host: str
    pid: int
    version: str
    slots: int
    running: int
    draining: bool
    started_at: datetime
    heartbeat_at: datetime


class Apps(Group[C]):
    @listing("list_apps")
    def list(self, *, limit: int | None = None) -> Call[Page[App]]:
        return Call(Page[App], "GET", "/admin/apps", given(limit=limit))

    @operation("get_app")
    def get(self, name: str) -> Call[App]:
        return Call(App, "GET", path("/admin/apps/{}", name))

    @operation("create_app")
    def create(
        self,
        name: str,
        *,
        display_name: str | None = None,
        config: str | Mapping[str, Any] | None = None,
        weight: int | None = None,
        max_concurrent: int | None = None,
        limits: NewLimits | None = None,
    ) -> Call[CreatedApp]:
        settings = given(display_name=display_name, weight=weight, max_concurrent=max_concurrent, limits=limits)
        body = given(name=name, config=config) | settings
        return Call(CreatedApp, "POST", "/admin/apps", body=body)

    @operation("change_app")
    def change(
        self,
        name: str,
        *,
        display_name: str | None = None,
        weight: int | None = None,
        max_concurrent: int | Unset | None = UNSET,
        status: str | None = None,
        retention: Mapping[str, Any] | None = None,
        limits: NewLimits | None = None,
        reason: str | None = None,
    ) -> Call[App]:
        """Changes what is given. None as `max_concurrent`, or as a value of `retention`: as the installation has it;
        as a value of `limits`: none."""
        body = given(display_name=display_name, weight=weight, status=status, reason=reason)
        body |= given(retention=retention, limits=limits)
        if not isinstance(max_concurrent, Unset):
            body["max_concurrent"] = max_concurrent
        return Call(App, "PATCH", path("/admin/apps/{}", name), body=body)

    @operation("delete_app")
    def delete(self, name: str) -> Call[DeletedApp]:
        """Deletes the App with all that is in it."""
        return Call(DeletedApp, "DELETE", path("/admin/apps/{}", name))

    @operation("pause_app")
    def pause(self, name: str, *, reason: str | None = None) -> Call[PauseResult]:
        """Starts nothing of the App any more."""
        return Call(PauseResult, "POST", path("/admin/apps/{}/pause", name), body=given(reason=reason))

    @operation("resume_app")
    def resume(self, name: str, *, reason: str | None = None) -> Call[PauseResult]:
        return Call(PauseResult, "POST", path("/admin/apps/{}/resume", name), body=given(reason=reason))

    @operation("get_config")
    def config(self, name: str) -> Call[Document]:
        """The document in force; secrets are names."""
        return Call(Document, "GET", path("/admin/apps/{}/config", name))

    @operation("put_config")
    def apply(
        self,
        name: str,
        config: str | Mapping[str, Any],
        *,
        comment: str | None = None,
        expected_revision: int | None = None,
    ) -> Call[App]:
        """Puts a document (an object, or YAML text) in force.

        Raises BadRequest with every fault, and RevisionConflict where another revision than the expected one came.
        """
        body = given(config=config, comment=comment, expected_revision=expected_revision)
        once = expected_revision is not None  # a second one would find the first one's revision
        return Call(App, "PUT", path("/admin/apps/{}/config", name), body=body, repeatable=not once)

    @listing("list_revisions")
    def revisions(self, name: str, *, limit: int | None = None) -> Call[Page[Revision]]:
        return Call(Page[Revision], "GET", path("/admin/apps/{}/config/revisions", name), given(limit=limit))

    @operation("roll_back_config")
    def roll_back(self, name: str, number: int) -> Call[App]:
        """Puts an old revision in force again, as a new one."""
        return Call(App, "POST", path("/admin/apps/{}/config/revisions/{}/rollback", name, number))

    @listing("list_secrets")
    def secrets(self, name: str, *, limit: int | None = None) -> Call[Page[Secret]]:
        return Call(Page[Secret], "GET", path("/admin/apps/{}/secrets", name), given(limit=limit))

    @operation("put_secret")
    def put_secret(self, name: str, key: str, value: str) -> Call[None]:
        secret = path("/admin/apps/{}/secrets/{}", name, key)
        return Call(type(None), "PUT", secret, body=given(value=value), repeatable=True)

    @operation("delete_secret")
    def delete_secret(self, name: str, key: str) -> Call[None]:
        return Call(type(None), "DELETE", path("/admin/apps/{}/secrets/{}", name, key))

    @operation("issue_app_token")
    def issue_token(
        self,
        name: str,
        *,
        role: str | None = None,
        expires_in: int | None = None,
        note: str | None = None,
        sees_payloads: bool | None = None,
        limits: NewLimits | None = None,
    ) -> Call[Token]:
        """A token of the App; `expires_in` is in seconds. It is shown this once."""
        body = given(role=role, expires_in=expires_in, note=note, sees_payloads=sees_payloads, limits=limits)
        return Call(Token, "POST", path("/admin/apps/{}/token", name), body=body)

    @listing("list_app_tokens")
    def tokens(self, name: str, *, limit: int | None = None) -> Call[Page[IssuedToken]]:
        return Call(Page[IssuedToken], "GET", path("/admin/apps/{}/tokens", name), given(limit=limit))

    @operation("revoke_app_token")
    def revoke_token(self, name: str, key: str) -> Call[None]:
        return Call(type(None), "DELETE", path("/admin/apps/{}/tokens/{}", name, key))


class Admin(Group[C]):
    @operation("get_queue")
    def queue(self) -> Call[Queue]:
        return Call(Queue, "GET", "/admin/queue")

    @operation("change_queue")
    def limit(self, max_concurrent: int | None, *, reason: str | None = None) -> Call[Queue]:
        """So many tasks run at a time, on all hosts together; None: as many as fit."""
        body = {"max_concurrent": max_concurrent, **given(reason=reason)}
        return Call(Queue, "PATCH", "/admin/queue", body=body)

    @operation("pause_queue")
    def pause_queue(self, *, reason: str | None = None) -> Call[Queue]:
        """Starts nothing any more, anywhere."""
        return Call(Queue, "POST", "/admin/queue/pause", body=given(reason=reason))

    @operation("resume_queue")
    def resume_queue(self, *, reason: str | None = None) -> Call[Queue]:
        return Call(Queue, "POST", "/admin/queue/resume", body=given(reason=reason))

    @listing("list_workers")
    def workers(self, *, limit: int | None = None) -> Call[Page[Worker]]:
        return Call(Page[Worker], "GET", "/admin/workers", given(limit=limit))

    @operation("drain_worker")
    def drain_worker(self, id: int, *, reason: str | None = None) -> Call[Worker]:
        """Lets a worker end what it has and take nothing more."""
        return Call(Worker, "POST", path("/admin/workers/{}/drain", id), body=given(reason=reason))

    @operation("get_config_schema")
    def config_schema(self) -> Call[Document]:
        """The JSON Schema of an App's document."""
        return Call(Document, "GET", "/schema")
