"""Who has to agree to something, how many of them, and what happens if nobody decides (`approval_policies`).

A document names its policies; an approval records the one that asked as a `Policy`: the same with everything that it
refers to, so that it stays what it was when it was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from apps.agents.registry import Duration, Spec

Person = Annotated[str, StringConstraints(min_length=1, max_length=200)]
MOST_REQUIRED = 20


class Approvers(Spec):
    """Who may decide: everybody with the role, and everybody who is named. An admin has every role."""

    role: Literal["approver", "admin"] | None = None
    """A role in the App; left out where nobody is named either, `approver`."""
    users: list[Person] = []
    """People by name. They need the right to decide all the same: the role `approver` or `admin`."""

    @model_validator(mode="before")
    @classmethod
    def _somebody(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("users") and data.get("role") is None:
            return {**data, "role": "approver"}
        return data


class ApprovalPolicy(Spec):
    """Who must agree, how many of them, until when, and what happens then."""

    approvers: Approvers = Approvers()
    """Who may decide."""
    required: Annotated[int, Field(ge=1, le=MOST_REQUIRED)] = 1
    """How many different people have to agree. One who rejects is enough to reject."""
    exclude_requester: bool = False
    """True: whoever asked for the task may not decide ("four eyes")."""
    expires_in: Duration | None = None
    """How long people have; left out, without end."""
    on_expiry: Literal["reject", "approve", "fail", "escalate"] = "reject"
    """What happens if nobody decides in time: rejected, approved, the task fails, or others are asked."""
    escalate_to: str | ApprovalPolicy | None = None
    """With `on_expiry: escalate`, the policy that holds from then on: by name, or written out here."""
    remind_after: Duration | None = None
    """When those who may decide are reminded, once."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.on_expiry == "escalate") != (self.escalate_to is not None):
            raise ValueError("`on_expiry: escalate` and `escalate_to` need each other")
        if self.remind_after is not None and self.expires_in is not None and self.remind_after >= self.expires_in:
            raise ValueError("`remind_after` is to be shorter than `expires_in`")
        named = self.approvers.role is None
        if named and self.required > len(set(self.approvers.users)):
            raise ValueError("`required` is more than the people who are named")
        return self


class Policy(ApprovalPolicy):
    """A policy as an approval records it. `name` is the document's, empty for one that it does not name."""

    name: str = ""
    escalate_to: Policy | None = None

    def without_end(self) -> Policy:
        """The same for what must not be decided by time alone: whether a call ran."""
        return self.model_copy(update={"expires_in": None, "on_expiry": "reject", "escalate_to": None})

    def stored(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_defaults=True)


def resolve(policy: str | ApprovalPolicy, known: Mapping[str, ApprovalPolicy]) -> Policy:
    """The policy of that name ("" is the default one), or one that is written out, with those that it escalates to."""
    name = policy if isinstance(policy, str) else ""
    own = policy if isinstance(policy, ApprovalPolicy) else known[name] if name else ApprovalPolicy()
    following = None if own.escalate_to is None else resolve(own.escalate_to, known)
    values = own.model_dump(exclude={"escalate_to"}, exclude_unset=True)
    return Policy(**values, name=name, escalate_to=following)


def reachable(policy: str | ApprovalPolicy, known: Mapping[str, ApprovalPolicy]) -> set[str]:
    """The names that resolving the policy needs; they do not go round (`apps.agents.config.checks`)."""
    own = known[policy] if isinstance(policy, str) else policy
    named = {policy} if isinstance(policy, str) else set()
    return named if own.escalate_to is None else named | reachable(own.escalate_to, known)
