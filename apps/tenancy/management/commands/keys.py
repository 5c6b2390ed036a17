"""`hector keys`: the key pairs that sign tokens, listed and rotated."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.accounts.audit import COMMAND_LINE
from apps.accounts.models import SigningKey
from apps.tenancy import tokens


class Command(BaseCommand):
    help = "Lists the keys that sign tokens, or makes a new one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "verb",
            choices=["list", "rotate"],
            help="rotate makes a new key, which signs from now on; the old ones verify",
        )
        parser.add_argument("--at-once", action="store_true", help="no old key verifies any more: one was stolen")
        parser.add_argument("--reason", default="", help="kept in the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "list":
            for row in SigningKey.objects.all():
                self.stdout.write(f"{row.kid}  made {row.created_at:%Y-%m-%d %H:%M} UTC")
            return
        kid, removed = tokens.rotate_keys(by=COMMAND_LINE, at_once=options["at_once"], reason=options["reason"])
        self.stdout.write(f"{kid} signs from now on")
        for old in removed:
            self.stdout.write(f"{old} is removed: nothing that it has signed is good any more")
