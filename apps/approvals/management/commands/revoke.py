"""`hector revoke ID`: ends a grant."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser

from apps.accounts import shell
from apps.approvals import grants
from apps.approvals.grants_api import GrantOut
from apps.approvals.management.base import ApprovalCommand
from apps.approvals.models import Grant
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app


class Command(ApprovalCommand):
    help = "Revokes a grant: calls of the tool ask again."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", type=UUID, help="the grant (hector grants lists them)")
        parser.add_argument("--reason", metavar="TEXT", default="", help="why; kept in the audit trail")

    def handle(self, *, app: str, id: UUID, reason: str, **options: Any) -> None:
        with in_app(lifecycle.get(app)):
            grant = Grant.objects.filter(pk=id).first()
            if grant is None:
                self.leave(f"There is no grant {id} in the App {app}.")
            revoked = grants.revoke(grant, by=shell.person(), reason=reason)
        if options["json"]:
            self.print_json(GrantOut(revoked).data)
        else:
            self.stdout.write(f"Revoked. {revoked.agent} asks again before it calls {revoked.tool}.")
