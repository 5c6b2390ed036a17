"""`hector reject ID`: a call does not run, a question is declined, a limit stays, a task with a call in doubt fails."""

from __future__ import annotations

from typing import Any

from apps.approvals.management.base import DecidingCommand
from apps.approvals.models import Approval, Decision


class Command(DecidingCommand):
    help = "Rejects: the model is told, with the comment, or the task fails, as the tool says."

    def decision(self, approval: Approval, **options: Any) -> dict[str, Any]:
        fails = approval.kind == Approval.Kind.IN_DOUBT
        return {"decision": Decision.Verb.FAIL if fails else Decision.Verb.REJECT}
