"""`hector openapi`: the API's description, as `docs/openapi.json` keeps it (`make openapi`)."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from apps.ops.api.documents import document


class Command(BaseCommand):
    help = "Prints the OpenAPI document of the HTTP API."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(document(), indent=1, ensure_ascii=False))
