"""`hector serve`: migrates, puts the configuration in force, then keeps a web server and a cluster running."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from apps.ops import startup
from apps.ops.supervisor import Child, Supervisor
from hector_site.server import listen

OWN_SHARE = 5.0  # seconds of the grace time that the supervisor keeps for itself, at most a fifth of it


class Command(BaseCommand):
    help = "Runs everything on this machine: migrates, then the web server and the workers. See `hector serve --help`."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        # The socket outlives restarts of the web server: meanwhile requests wait instead of being refused.
        with listen(settings.HECTOR_HOST, settings.HECTOR_PORT) as listener:
            startup.prepare()
            config = startup.ConfigFile()
            config.load()
            print(startup.greeting(), flush=True)
            connections.close_all()
            supervisor = Supervisor(
                _children(listener.fileno()), grace=settings.HECTOR_GRACE, every_second=config.reload_if_changed
            )
            sys.exit(supervisor.run())


def _children(listener: int) -> list[Child]:
    """The web server stops last, so that `/health` tells that the workers are draining."""
    python = [sys.executable, "-P", "-m", "hector_site"]
    common = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")])),
        "HECTOR_GRACE": str(max(settings.HECTOR_GRACE - OWN_SHARE, settings.HECTOR_GRACE * 0.8)),
    }
    return [
        Child(
            "web",
            [*python, "web"],
            {**common, "HECTOR_LISTENER": str(listener)},
            pass_fds=[listener],
            last=True,
            on_drain=signal.SIGUSR1,
        ),
        Child("worker", [*python, "worker"], common),
    ]
