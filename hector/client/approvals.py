"""What waits for people, and what runs without asking them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import Field

from hector.client.calls import Call, Group, Page, Record, given, listing, operation, path
from hector.client.connection import Async, Sync

C = TypeVar("C", Sync, Async)


class Decision(Record):
    """What somebody has decided about an approval."""

    actor: str
    decision: str
    comment: str
    arguments: dict[str, Any] | None
    answer: Any
    at: datetime


class Approval(Record):
    """Something that waits, or waited, for a person."""

    id: str
    task: str
    agent: str
    kind: str
    status: str
    tool: str
    arguments: dict[str, Any]
    digest: str
    json_schema: dict[str, Any] | None = Field(alias="schema")
    prompt: str
    risk: str
    on_reject: str
    policy: str
    explanation: str
    requester: str
    choices: list[str]
    required: int
    decisions: list[Decision]
    outcome: str
    requested_at: datetime
    expires_at: datetime | None
    reminded_at: datetime | None
    escalated_at: datetime | None
    closed_at: datetime | None


class Skipped(Record):
    id: str
    reason: str


class BatchDecision(Record):
    """Which approvals were decided, and which were not and why."""

    approved: list[str]
    rejected: list[str]
    skipped: list[Skipped]


class Grant(Record):
    """Calls of a tool that run without asking."""

    id: str
    agent: str
    tool: str
    task: str | None
    until: datetime | None
    approval: str | None
    given_by: list[str]
    given_at: datetime
    uses: int
    revoked_at: datetime | None
    revoked_by: str
    reason: str


class Approvals(Group[C]):
    @listing("list_approvals")
    def list(
        self, *, status: str | None = None, mine: bool | None = None, limit: int | None = None
    ) -> Call[Page[Approval]]:
        """Approvals, the newest first; with `mine` those that wait for whoever asks."""
        return Call(Page[Approval], "GET", "/approvals", given(status=status, mine=mine, limit=limit))

    @operation("get_approval")
    def get(self, id: str) -> Call[Approval]:
        return Call(Approval, "GET", path("/approvals/{}", id))

    @operation("decide_approval")
    def decide(
        self,
        id: str,
        decision: str,
        *,
        comment: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        answer: Any = None,
        grant: Mapping[str, Any] | None = None,
    ) -> Call[Approval]:
        """`approve`, `reject`, `answer`, `ran`, `run_again` or `fail`; an approval's `choices` has what is possible.

        Raises AlreadyDecided, Expired or NotEntitled.
        """
        body = given(decision=decision, comment=comment, arguments=arguments, answer=answer, grant=grant)
        return Call(Approval, "POST", path("/approvals/{}/decide", id), body=body)

    @operation("decide_approvals")
    def decide_many(self, ids: Sequence[str], decision: str, *, comment: str | None = None) -> Call[BatchDecision]:
        """Decides about each of up to 200 by itself."""
        body = given(ids=ids, decision=decision, comment=comment)
        return Call(BatchDecision, "POST", "/approvals/decide", body=body)

    @listing("list_grants")
    def grants(self, *, in_force: bool | None = None, limit: int | None = None) -> Call[Page[Grant]]:
        return Call(Page[Grant], "GET", "/grants", given(in_force=in_force, limit=limit))

    @operation("revoke_grant")
    def revoke_grant(self, id: str, *, reason: str | None = None) -> Call[Grant]:
        return Call(Grant, "POST", path("/grants/{}/revoke", id), body=given(reason=reason))
