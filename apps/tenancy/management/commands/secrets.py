"""`hector secrets rotate`: from here on, only the first of HECTOR_ENCRYPTION_KEYS is needed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.crypto import CannotDecrypt
from apps.tenancy import secrets


class Command(BaseCommand):
    help = "Encrypts the Apps' secrets and the key of tokens anew, with the first of HECTOR_ENCRYPTION_KEYS."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=["rotate"], help="after it, the other keys can be taken away")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = secrets.rotate()
        except CannotDecrypt as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Encrypted anew: {count} secrets, and the key that signs tokens.")
