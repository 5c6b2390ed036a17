"""How a tool's call may end besides with a result; both ends are the model's to read."""

from __future__ import annotations


class Refused(ValueError):
    """The call was not made; the text says what to change, and the model may call again."""


class CallFailed(Exception):
    """The call failed for good; the model reads the text and goes on without it."""
