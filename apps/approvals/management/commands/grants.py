"""`hector grants`: which calls of an App's agents run without asking, and until when."""

from __future__ import annotations

from typing import Any

from apps.approvals import grants
from apps.approvals.grants_api import GrantOut
from apps.approvals.management.base import ApprovalCommand
from apps.approvals.models import Grant
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app


class Command(ApprovalCommand):
    help = "Lists the grants that are in force, the oldest first."

    def handle(self, *, app: str, **options: Any) -> None:
        with in_app(lifecycle.get(app)):
            rows = list(grants.in_force().order_by("id"))
        if options["json"]:
            self.print_json(GrantOut(rows, many=True).data)
            return
        for row in rows:
            self.stdout.write(_line(row))
        if not rows:
            self.stdout.write(f"No grant is in force in {app}.")


def _line(row: Grant) -> str:
    end = f"until {row.until:%Y-%m-%d %H:%M:%S} UTC" if row.until else f"for task {row.task_id}"
    return f"{row.pk}  {row}, {end}; given by {' and '.join(row.given_by)}, used {row.uses} times"
