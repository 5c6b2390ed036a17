"""Whether this web process has been asked to stop.

Once it has, `/health` says so, new requests are refused and long answers (event streams, `Prefer: wait`) should end
soon: whatever waits in a loop asks `draining()` at least once a second.
"""

from __future__ import annotations

_draining = False


def begin() -> None:
    """Safe in a signal handler: it takes no lock."""
    global _draining
    _draining = True


def draining() -> bool:
    return _draining
