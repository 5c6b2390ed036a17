"""`hector approve ID`: lets a call run, answers a question, raises a limit, or says what became of a call in doubt."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandParser

from apps.approvals.errors import DecisionInvalid
from apps.approvals.grants import Terms
from apps.approvals.management.base import DecidingCommand, json_object, json_value
from apps.approvals.models import Approval, Decision

Kind, Verb = Approval.Kind, Decision.Verb


class Command(DecidingCommand):
    help = (
        "Approves. A question is answered with --answer. Of a call that may have run, --answer says that it ran, and "
        "with what result; --run-again lets it run once more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--arguments", metavar="JSON", type=json_object, help="other arguments for the call")
        parser.add_argument("--answer", metavar="JSON", type=json_value, help="of a question, or the result of a call")
        parser.add_argument("--run-again", action="store_true", help="of a call that may have run")
        further = parser.add_mutually_exclusive_group()
        further.add_argument("--for-task", action="store_true", help="further calls of the tool by this task need none")
        further.add_argument("--until", metavar="TIME", type=_instant, help="nor do those of all tasks until then")

    def decision(self, approval: Approval, **options: Any) -> dict[str, Any]:
        values = {name: options[name] for name in ("arguments", "answer") if options[name] is not None}
        if options["for_task"] or options["until"]:
            values["grant"] = Terms(options["until"])
        return {"decision": _verb(approval, options["answer"] is not None, options["run_again"]), **values}


def _verb(approval: Approval, answered: bool, run_again: bool) -> Decision.Verb:
    if approval.kind == Kind.IN_DOUBT:
        if answered == run_again:
            raise DecisionInvalid.at("answer", "Say what became of the call: --answer with its result, or --run-again.")
        return Verb.RAN if answered else Verb.RUN_AGAIN
    return Verb.ANSWER if approval.kind == Kind.QUESTION else Verb.APPROVE


def _instant(text: str) -> datetime:
    """RFC 3339; without an offset it is UTC."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time such as 2030-01-31T09:00:00Z.") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
