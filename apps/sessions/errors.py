"""What can be wrong with a session. The texts are for users."""

from __future__ import annotations


class SessionBusy(Exception):
    """Tasks of the session have not ended yet."""

    code = "session_busy"
