"""Who may do what: one table of every operation of the API, page of the console and command, and the callers that it
is asked about.

What has no entry is closed to everybody, and a test fails for it (`tests/api/test_permissions.py`,
`tests/console/test_access.py`, `tests/ops/test_command_line.py`). The one model admin, of people, is a page like the
others and has no actions. Who may decide about an approval is narrowed further by its policy (`apps.approvals.rights`).
"""

from __future__ import annotations

from collections.abc import Mapping
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
    credential: str = ""  # what the token stands for, which may be revoked; empty: no token
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
    "events": {"GET": Need.VIEWER, "POST": Need.OPERATOR},
    "approvals": _READ,
    "approvals-decide": {"POST": Need.APPROVER},
    "approval": _READ,
    "approval-decide": {"POST": Need.APPROVER},
    "grants": _READ,
    "grant-revoke": {"POST": Need.APPROVER},
    "task-fork": {"POST": Need.OPERATOR},
    "sessions": _READ,
    "session": {"GET": Need.VIEWER, "DELETE": Need.OPERATOR},
    "session-turns": _READ,
    "session-turn": _READ,
    "dead-letters": _READ,
    "dead-letter-groups": _READ,
    "dead-letter-bulk": {"POST": Need.OPERATOR},
    "dead-letter-retry": {"POST": Need.OPERATOR},
    "dead-letter-discard": {"POST": Need.OPERATOR},
    "limits": _READ,
    "operation": _READ,
    "operation-items": _READ,
    "operation-stop": {"POST": Need.OPERATOR},
    "stats": _READ,
    "entry-points": _READ,
    "entry-point": _READ,
    "entry-point-firings": _READ,
    "entry-point-trigger": {"POST": Need.OPERATOR},
    "entry-point-pause": {"POST": Need.OPERATOR},
    "entry-point-resume": {"POST": Need.OPERATOR},
    "entry-point-backfill": {"GET": Need.OPERATOR, "POST": Need.OPERATOR},
    "timers-pause": {"POST": Need.OPERATOR},
    "timers-resume": {"POST": Need.OPERATOR},
    "webhook": dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), Need.NOBODY),  # whoever has its secret
    "webhook-deliveries": {"GET": Need.OPERATOR},
    "webhook-delivery": {"GET": Need.OPERATOR},
    "webhook-redeliver": {"POST": Need.OPERATOR},
    "notifications": {"GET": Need.OPERATOR},
    "deliveries": {"GET": Need.OPERATOR},
    "delivery": {"GET": Need.OPERATOR},
    "delivery-redeliver": {"POST": Need.OPERATOR},
    "notification-redeliver": {"POST": Need.OPERATOR},
    "notification-enable": {"POST": Need.ADMIN},
    "notification-test": {"POST": Need.ADMIN},
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
    "admin-queue": {"GET": Need.PLATFORM, "PATCH": Need.PLATFORM},
    "admin-queue-pause": {"POST": Need.PLATFORM},
    "admin-queue-resume": {"POST": Need.PLATFORM},
    "admin-workers": {"GET": Need.PLATFORM},
    "admin-worker-drain": {"POST": Need.PLATFORM},
    "admin-nothing": {"GET": Need.NOBODY},  # a 404
}


_SEES: Final = {"GET": Need.VIEWER}
_OPERATES: Final = {"GET": Need.OPERATOR, "POST": Need.OPERATOR}
_ADMINISTERS: Final = {"GET": Need.ADMIN, "POST": Need.ADMIN}
_OF_PLATFORM: Final = {"GET": Need.PLATFORM, "POST": Need.PLATFORM}
PAGES: Final[dict[str, dict[str, Need]]] = {  # the same of the console; a page that asks first takes GET and POST
    "index": _SEES,
    "tasks": _SEES,
    "new_task": _OPERATES,
    "task": _SEES,
    "task_cancel": _OPERATES,
    "task_retry": _OPERATES,
    "task_fork": _OPERATES,
    "dead_letters": _SEES,
    "letters": _SEES,
    "letters_retry": _OPERATES,
    "letters_discard": _OPERATES,
    "operation": _SEES,
    "operation_stop": _OPERATES,
    "events": _SEES,
    "entry_points": _SEES,
    "entry_point_run": _OPERATES,
    "entry_point_pause": _OPERATES,
    "entry_point_resume": _OPERATES,
    "webhooks": {"GET": Need.OPERATOR},
    "webhook": {"GET": Need.OPERATOR},
    "webhook_redeliver": _OPERATES,
    "notifications": {"GET": Need.OPERATOR},
    "message": {"GET": Need.OPERATOR},
    "message_redeliver": _OPERATES,
    "channel_redeliver": _OPERATES,
    "channel_enable": _ADMINISTERS,
    "channel_test": _ADMINISTERS,
    "sessions": _SEES,
    "session": _SEES,
    "session_delete": _OPERATES,
    "agents": _SEES,
    "agent": _SEES,
    "agent_pause": _OPERATES,
    "agent_resume": _OPERATES,
    "configuration": {"GET": Need.ADMIN},
    "configuration_diff": {"GET": Need.ADMIN},
    "revision": {"GET": Need.ADMIN},
    "audit": {"GET": Need.ADMIN},
    "limits": _SEES,
    "inbox": _SEES,
    "inbox_batch": {"GET": Need.VIEWER, "POST": Need.APPROVER},
    "inbox_approval": {"GET": Need.VIEWER, "POST": Need.APPROVER},
    "grants": _SEES,
    "grant_revoke": {"GET": Need.VIEWER, "POST": Need.APPROVER},
    "approvals_history": _SEES,
    # the operator's
    "platform_apps": {"GET": Need.PLATFORM},
    "platform_app": {"GET": Need.PLATFORM},
    "app_pause": _OF_PLATFORM,
    "app_resume": _OF_PLATFORM,
    "app_settings": _OF_PLATFORM,
    "app_limits": _OF_PLATFORM,
    "app_suspend": _OF_PLATFORM,
    "app_reactivate": _OF_PLATFORM,
    "app_delete": _OF_PLATFORM,
    "app_tokens": _OF_PLATFORM,
    "token_revoke": _OF_PLATFORM,
    "invite": _OF_PLATFORM,
    "new_link": _OF_PLATFORM,
    "platform_queue": {"GET": Need.PLATFORM},
    "platform_entries": {"GET": Need.PLATFORM},
    "queue_pause": _OF_PLATFORM,
    "queue_resume": _OF_PLATFORM,
    "queue_limit": _OF_PLATFORM,
    "worker_drain": _OF_PLATFORM,
    "accounts_user_changelist": _OF_PLATFORM,
    "accounts_user_add": _OF_PLATFORM,
    "accounts_user_change": _OF_PLATFORM,
    "accounts_user_delete": _OF_PLATFORM,
    "accounts_user_history": {"GET": Need.PLATFORM},
    "auth_user_password_change": _OF_PLATFORM,
    "search": _OF_PLATFORM,
    "autocomplete": _OF_PLATFORM,
    "view_on_site": _OF_PLATFORM,
    "app_list": _OF_PLATFORM,
    # everybody's who is logged in
    "password_change": {"GET": Need.VIEWER, "POST": Need.VIEWER},
    "password_change_done": _SEES,
    "two_factor": {"GET": Need.VIEWER, "POST": Need.VIEWER},
    "jsi18n": _SEES,
    "logout": {"GET": Need.VIEWER, "POST": Need.VIEWER},
    "login": {"GET": Need.NOBODY, "POST": Need.NOBODY},
    "welcome": {"GET": Need.NOBODY, "POST": Need.NOBODY},  # whoever has the link of an invitation
}

# The command line is the platform operator's: it acts with the installation's own settings and keys, so whoever can
# run it can do everything anyway. `NOBODY`: it needs no installation.
_WITHOUT = ("init", "validate", "version", "openapi")
_WITH = (
    *("serve", "web", "worker", "apply", "export", "migrate", "check_integrity", "prune", "keys", "secrets"),
    *("limit_app", "suspend_app", "resume_app", "delete_app", "export_app", "import_app", "limit"),
    *("run", "tasks", "logs", "entry-points", "trigger", "timers"),
    *("approvals", "approve", "reject", "grants", "revoke"),
    *("createsuperuser", "changepassword", "clearsessions"),
    *("check", "shell", "dbshell", "makemigrations", "showmigrations", "sqlmigrate"),
)
COMMANDS: Final = dict.fromkeys(_WITHOUT, Need.NOBODY) | dict.fromkeys(_WITH, Need.PLATFORM)


def need(route: str, method: str, table: Mapping[str, Mapping[str, Need]] = OPERATIONS) -> Need | None:
    """What the operation asks for; None if the table does not know it. HEAD asks for what GET does."""
    return table.get(route, {}).get("GET" if method == "HEAD" else method)


def may(caller: Caller, wanted: Need) -> bool:
    return wanted == Need.NOBODY or caller.is_platform_operator or caller.role in _ENOUGH[wanted]
