"""The present instant of what starts work by itself: the database's clock, so hosts whose clocks differ agree.

Tests put their own clock in the place of `now`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from apps.queue import sql

now: Callable[[], datetime] = sql.instant
