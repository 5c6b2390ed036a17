"""`hector web`: the web server alone, for installations that run their workers elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.ops import startup
from hector_site import server


class Command(BaseCommand):
    help = "Runs the web server. See `hector web --help`."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        startup.prepare()
        if settings.HECTOR_LISTENER >= 0:  # the supervisor's socket
            sys.exit(server.run(settings.HECTOR_LISTENER))
        listener = server.listen(settings.HECTOR_HOST, settings.HECTOR_PORT)
        sys.exit(server.run(listener.detach()))
