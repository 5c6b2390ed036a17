"""`hector approvals`: what waits for people in an App."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.approvals.api import shown
from apps.approvals.management.base import ApprovalCommand, listed, whole_number
from apps.approvals.models import Approval
from apps.approvals.words import explain
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app

MOST = 100
LONGEST = 200  # characters of arguments in a line


class Command(ApprovalCommand):
    help = "Lists what waits for people, the longest wait first; or what waited, with --status."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--status", choices=Approval.Status.values, default=Approval.Status.OPEN.value)
        parser.add_argument("--limit", type=whole_number, default=MOST, help=f"how many at most ({MOST})")

    def handle(self, *, app: str, status: str, limit: int, **options: Any) -> None:
        with in_app(lifecycle.get(app)):
            rows = list(shown(Approval.objects.filter(status=status)).order_by("id")[:limit])
            if options["json"]:
                self.print_json(listed(rows))
                return
            for row in rows:
                self._write(row)
            if not rows:
                self.stdout.write(f"Nothing is {status} in {app}.")

    def _write(self, row: Approval) -> None:
        risk = f" (risk: {row.risk})" if row.risk else ""
        due = f", due {row.expires_at:%Y-%m-%d %H:%M:%S} UTC" if row.expires_at else ""
        arguments = json.dumps(row.arguments, ensure_ascii=False)
        self.stdout.write(
            f"{row.pk}  {row.kind} {row.tool}{risk}, asked {row.requested_at:%Y-%m-%d %H:%M:%S} UTC{due}\n"
            f"  of {row.task.agent}, task {row.task_id}\n"
            f"  {row.prompt}\n"
            f"  {arguments[:LONGEST]}{'…' if len(arguments) > LONGEST else ''}\n"
            f"  {explain(row.asked_by(), requester=row.requester)}"
        )
