"""What the commands about documents have in common: where they read from, and how they say what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand

from apps.agents.config.apply import RevisionConflict
from apps.agents.config.faults import ConfigInvalid
from apps.tenancy import lifecycle
from apps.tenancy.errors import TenancyError
from apps.tenancy.models import App


class ConfigCommand(BaseCommand):
    """A command that ends with 1 if the document or the App is at fault, and with 2 if it was used wrongly."""

    requires_system_checks = []

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ConfigInvalid as invalid:
            for fault in invalid.faults:
                self.stderr.write(f"{fault} (line {fault.line})" if fault.line else str(fault))
            sys.exit(1)
        except (RevisionConflict, TenancyError) as error:
            self.leave(str(error))

    def leave(self, sentence: str, *, code: int = 1) -> NoReturn:
        self.stderr.write(sentence)
        sys.exit(code)

    def read(self, file: str) -> str:
        """The text of a file; `-` is standard input."""
        try:
            return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        except OSError as error:
            self.leave(f"{file} cannot be read: {error.strerror}.", code=2)
        except UnicodeDecodeError:
            self.leave(f"{file} cannot be read: it is not UTF-8 text.", code=2)

    def app(self, name: str) -> App:
        """The App, in a database that is brought up to date first, so that these commands work before any other."""
        lifecycle.migrate_all()
        return lifecycle.get(name)
