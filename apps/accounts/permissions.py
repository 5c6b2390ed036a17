"""Who may do what over HTTP: one table of every operation, and the callers that it is asked about.

A route without an entry is closed to everybody, and `tests/api/test_permissions.py` fails for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What somebody is within one App. Each role after `viewer` may also do what a viewer may."""

    VIEWER = "viewer"
    OPERATOR = "operator"  # starts, cancels and retries work
    APPROVER = "approver"  # decides what waits for a person; beside the others, not above
    ADMIN = "admin"  # everything in the App


class Need(StrEnum):
    """The least that an operation asks for."""

    NOBODY = "nobody"  # open, or with a proof of its own (a signature)
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"
    PLATFORM = "platform"  # the operator of the installation


@dataclass(frozen=True)
class Caller:
    """Who sends a request. `actor` is how events and revisions name them."""

    actor: str
    role: Role
    is_platform_operator: bool = False
    app_name: str | None = None  # the only App that the credentials are good for; None: any
    expires_at: datetime | None = None  # of the credentials
    sees_payloads: bool = True  # a viewer's may be hidden; the others' never are
    is_authenticated: bool = True  # Django REST framework asks


_ENOUGH: Final[dict[Need, frozenset[Role]]] = {
    Need.VIEWER: frozenset(Role),
    Need.OPERATOR: frozenset({Role.OPERATOR, Role.ADMIN}),
    Need.APPROVER: frozenset({Role.APPROVER, Role.ADMIN}),
    Need.ADMIN: frozenset({Role.ADMIN}),
    Need.PLATFORM: frozenset(),
}

_READ: Final = {"GET": Need.VIEWER}
OPERATIONS: Final[dict[str, dict[str, Need]]] = {  # name of the route -> method -> need
    # health
    "health": {"GET": Need.NOBODY},
    "health-live": {"GET": Need.NOBODY},
    "health-ready": {"GET": Need.NOBODY},
    "home": {"GET": Need.NOBODY},  # leads to the console, which asks who one is
    # credentials: whoever has a password, or a token in the body
    "jwks": {"GET": Need.NOBODY},
    "auth-token": {"POST": Need.NOBODY},
    "auth-refresh": {"POST": Need.NOBODY},
    "auth-revoke": {"POST": Need.NOBODY},
    # documents
    "openapi": _READ,
    "docs": _READ,
    "schema": _READ,
    # an App's
    "agents": _READ,
    "agent": _READ,
    "agent-pause": {"POST": Need.OPERATOR},
    "agent-resume": {"POST": Need.OPERATOR},
    "tasks": {"GET": Need.VIEWER, "POST": Need.OPERATOR},
    "task": _READ,
    "task-events": _READ,
    "task-attempts": _READ,
    "task-checkpoints": _READ,
    "task-checkpoint": _READ,
    "task-cancel": {"POST": Need.OPERATOR},
    "task-retry": {"POST": Need.OPERATOR},
    "task-approve": {"POST": Need.APPROVER},
    "task-reject": {"POST": Need.APPROVER},
    "approvals": _READ,
    "approval-decide": {"POST": Need.APPROVER},
    "task-fork": {"POST": Need.OPERATOR},
    "dead-letters": _READ,
    "dead-letter-groups": _READ,
    "dead-letter-bulk": {"POST": Need.OPERATOR},
    "dead-letter-retry": {"POST": Need.OPERATOR},
    "dead-letter-discard": {"POST": Need.OPERATOR},
    "operation": _READ,
    "operation-items": _READ,
    "operation-stop": {"POST": Need.OPERATOR},
    # the operator's
    "admin-apps": {"GET": Need.PLATFORM, "POST": Need.PLATFORM},
    "admin-app": {"GET": Need.PLATFORM, "PATCH": Need.PLATFORM, "DELETE": Need.PLATFORM},
    "admin-app-config": {"GET": Need.PLATFORM, "PUT": Need.PLATFORM},
    "admin-app-revisions": {"GET": Need.PLATFORM},
    "admin-app-rollback": {"POST": Need.PLATFORM},
    "admin-app-token": {"POST": Need.PLATFORM},
    "admin-app-tokens": {"GET": Need.PLATFORM},
    "admin-app-issued-token": {"DELETE": Need.PLATFORM},
    "admin-app-secrets": {"GET": Need.PLATFORM},
    "admin-app-secret": {"PUT": Need.PLATFORM, "DELETE": Need.PLATFORM},
    "admin-app-pause": {"POST": Need.PLATFORM},
    "admin-app-resume": {"POST": Need.PLATFORM},
    "admin-queue": {"GET": Need.PLATFORM},
    "admin-queue-pause": {"POST": Need.PLATFORM},
    "admin-queue-resume": {"POST": Need.PLATFORM},
    "admin-workers": {"GET": Need.PLATFORM},
    "admin-worker-drain": {"POST": Need.PLATFORM},
    "admin-nothing": {"GET": Need.NOBODY},  # a 404
}


def need(route: str, method: str) -> Need | None:
    """What the operation asks for; None if the table does not know it. HEAD asks for what GET does."""
    return OPERATIONS.get(route, {}).get("GET" if method == "HEAD" else method)


def may(caller: Caller, wanted: Need) -> bool:
    return wanted == Need.NOBODY or caller.is_platform_operator or caller.role in _ENOUGH[wanted]
