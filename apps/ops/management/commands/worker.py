"""`hector worker`: the django-q2 cluster, a host's worker processes."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from apps.ops import startup
from apps.queue import cluster
from hector_site.sharing import work_here


class Command(BaseCommand):
    help = "Runs this host's workers. See `hector worker --help`."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        with work_here(alone=False):
            startup.prepare()
            sys.exit(cluster.main())
