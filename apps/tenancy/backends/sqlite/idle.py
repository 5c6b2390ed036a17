"""Connections that no thread uses at the moment, kept open for whichever thread enters their App next.

Opening a file costs half a millisecond; closing the last connection to one costs ten and more, because SQLite then
copies the whole WAL into it. So a process keeps some open; their number bounds its file handles, of which each takes
four (two files and their WALs, and one more per App): with 32 threads at work, fewer than 500 for however many Apps.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from typing import NamedTuple

from apps.tenancy.backends.common import forget_at_fork

LIMIT = 64


class RawConnection(sqlite3.Connection):
    """A connection that remembers which file it has opened."""

    identity: tuple[int, int] | None = None


class Key(NamedTuple):
    shared: str
    schema: str
    include_public: bool


class IdleConnections:
    """The least recently used are closed when there are too many. A thread has a connection for itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: OrderedDict[RawConnection, Key] = OrderedDict()
        forget_at_fork(self)

    def take(self, key: Key) -> RawConnection | None:
        with self._lock:
            for raw in reversed(self._keys):
                if self._keys[raw] == key:
                    del self._keys[raw]
                    return raw
        return None

    def put(self, key: Key, raw: RawConnection) -> None:
        with self._lock:
            self._keys[raw] = key
            oldest = self._keys.popitem(last=False)[0] if len(self._keys) > LIMIT else None
        if oldest is not None:
            oldest.close()

    def close(self, shared: str, schema: str | None = None) -> None:
        """Closes those of a database, or of one schema of it."""
        with self._lock:
            closing = [raw for raw, key in self._keys.items() if key.shared == shared and schema in (None, key.schema)]
            for raw in closing:
                del self._keys[raw]
        for raw in closing:
            raw.close()

    def forget(self) -> list[RawConnection]:
        """In a forked child: lets go of all without closing them (`apps.tenancy.backends.common`)."""
        raws = list(self._keys)
        self._keys.clear()
        self._lock = threading.Lock()  # another thread of the parent may have held it
        return raws


idle = IdleConnections()
