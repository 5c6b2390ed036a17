"""Hector's settings, with a handler for queue entries that do nothing (`bench.noop`)."""

from hector_site.settings import *  # noqa: F403
from hector_site.settings import HECTOR_QUEUE_HANDLERS as _HANDLERS

HECTOR_QUEUE_HANDLERS = {**_HANDLERS, "noop": "bench.noop"}
