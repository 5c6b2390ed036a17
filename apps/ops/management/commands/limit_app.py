"""`hector limit_app`: what an App may use in a window of time, and has used."""

from __future__ import annotations

from django.core.management.base import CommandParser

from apps.accounts.audit import COMMAND_LINE
from apps.ops.management.base import AppVerbCommand
from apps.quotas import counting, rules
from apps.quotas.api import BadLimits, from_texts
from apps.quotas.models import Use
from apps.tasks import budgets
from apps.tenancy.context import in_app
from apps.tenancy.models import App


class Command(AppVerbCommand):
    help = "Says what an App may use of requests, tasks, tokens and dollars in a window of time; or changes it."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "limits",
            metavar="RESOURCE=LIMITS",
            nargs="*",
            help="of requests, tasks, tokens or cost_usd: tasks=100/1m,5000/1d; cost_usd=20/1d:ask; tokens=none",
        )

    def handle(self, *, name: str, limits: list[str], reason: str, **options: object) -> None:
        app = self.app(name)
        if limits:
            given = [one.partition("=") for one in limits]
            texts = {resource: "" if text == "none" else text for resource, _, text in given}
            try:
                app = budgets.set_limits(app, from_texts(texts), by=COMMAND_LINE, reason=reason)
            except BadLimits as error:
                self.leave(str(error), code=2)
        self._show(app)

    def _show(self, app: App) -> None:
        with in_app(app):
            standings = counting.standings(rules.rules_of(Use.Kind.APP, "", app.limits))
        for one in standings:
            then = f"; then: {one.rule.on_breach}" if one.rule.on_breach else ""
            used = rules.amount(one.rule.resource, one.used)
            ends = one.ends_at.isoformat(timespec="seconds")
            self.stdout.write(f"{one.rule.what(one.allowed)}: {used:,.10g} used, until {ends}{then}")
        if not standings:
            self.stdout.write(f"The App {app.name} has no limits.")
