"""What the commands about approvals have in common: the App, who decides, and how they answer."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any, NoReturn
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, InterfaceError
from rest_framework.exceptions import ParseError

from apps.accounts import shell
from apps.approvals import lifecycle
from apps.approvals.api import ApprovalOut, shown
from apps.approvals.errors import ApprovalError
from apps.approvals.models import Approval
from apps.tenancy import lifecycle as tenancy
from apps.tenancy.context import in_app
from apps.tenancy.errors import TenancyError, is_database_away
from apps.tenancy.http.body import loads
from apps.tenancy.models import DEFAULT_APP

_AWAY = "The database does not answer. Try again: what you decided was kept once, or not at all, and you are told then."


class ApprovalCommand(BaseCommand):
    """A command that ends with 1 if what it was asked for is refused, and says why in a sentence."""

    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--app", metavar="NAME", default=DEFAULT_APP, help=f"the App ({DEFAULT_APP})")
        parser.add_argument("--json", action="store_true", help="answers as the API does")

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (ApprovalError, TenancyError) as error:
            self.leave(str(error))
        except (DatabaseError, InterfaceError) as error:
            if not is_database_away(error):
                raise
            self.leave(_AWAY)

    def leave(self, sentence: str) -> NoReturn:
        self.stderr.write(sentence)
        sys.exit(1)

    def print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))


class DecidingCommand(ApprovalCommand):
    """A command that decides about one approval."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", type=UUID, help="the approval (hector approvals lists them)")
        parser.add_argument("--comment", metavar="TEXT", default="", help="kept with the decision; a model may read it")

    def handle(self, *, app: str, id: UUID, json: bool, **options: Any) -> None:
        with in_app(tenancy.get(app)) as entered:
            approval = Approval.objects.select_related("task").filter(pk=id).first()
            if approval is None:
                self.leave(f"There is no approval {id} in the App {app}.")
            how = self.decision(approval, **options)
            decided = lifecycle.decide(entered, approval, by=shell.person(), comment=options["comment"], **how)
            if json:
                self.print_json(ApprovalOut(shown(Approval.objects.filter(pk=id)).get()).data)
            else:
                self.stdout.write(_what_follows(decided))

    def decision(self, approval: Approval, **options: Any) -> dict[str, Any]:
        """What `lifecycle.decide` gets: the decision and what belongs to it."""
        raise NotImplementedError


def json_value(text: str) -> Any:
    """As strict as the API."""
    try:
        return loads(text)
    except ParseError as error:
        raise ArgumentTypeError(str(error.detail).replace("The body", "It", 1)) from None


def json_object(text: str) -> dict[str, Any]:
    if not isinstance(value := json_value(text), dict):
        raise ArgumentTypeError("It is no JSON object.")
    return value


def whole_number(text: str) -> int:
    """One that is more than 0."""
    if not text.isdecimal() or not (number := int(text)):
        raise ArgumentTypeError(f"{text!r} is no whole number above 0.")
    return number


def listed(approvals: Sequence[Approval]) -> Any:
    return ApprovalOut(approvals, many=True).data


def _what_follows(approval: Approval) -> str:
    if approval.status == Approval.Status.OPEN:
        return f"Decided. It takes {approval.required} people who decide the same; it is still open."
    approval.task.refresh_from_db()
    return f"Decided: {lifecycle.how_closed(approval)}. The task {approval.task_id} is {approval.task.status}."
