"""The audit trail of what is of no task: people, tokens, keys, Apps. Call `record` in the transaction of the deed."""

from __future__ import annotations

from typing import Any

from apps.accounts.models import AuditRecord

COMMAND_LINE = "command line"  # who acts with `hector …`: whoever has the installation's settings
_LONGEST = 200


def record(action: str, *, by: str, app_name: str = "", target: str = "", reason: str = "", **details: Any) -> None:
    """`action` is a verb in the past (`token_issued`); `details` are JSON and hold no secret."""
    AuditRecord.objects.create(
        actor=by[:_LONGEST],
        action=action,
        app_name=app_name,
        target=target[:_LONGEST],
        reason=reason[:1000],
        details=details,
    )
