"""What has to be shown about decisions, and through what: each situation on each surface (`test_matrix` looks).

A test says with `shows` which cells of the matrix it fills.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from itertools import product
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., None])


class Situation(StrEnum):
    APPROVE = "a call is approved"
    EDIT = "a call is approved with other arguments"
    REJECT = "a call is rejected"
    ANSWER = "a question is answered"
    EXPIRE = "nobody decides in time"
    ESCALATE = "others are asked, since nobody has decided"
    QUORUM = "two people have to agree"
    EXCLUDED = "whoever asked for the task may not decide"
    LATE = "somebody decides too late"
    CONCURRENT = "several people decide at once"
    RESTART = "all processes are started anew while it waits"
    SEVERAL = "one of several calls of a turn is rejected"
    MCP = "a call of a tool of an MCP server"
    FUNCTION = "a call of a function"
    COMMAND = "a call of a command"
    GRANT_USED = "a grant lets a call run"
    GRANT_REVOKED = "a grant is revoked"


class Through(StrEnum):
    API = "the API"
    INBOX = "the inbox, in a browser"
    COMMAND_LINE = "the command line"


CELLS = set(product(Situation, Through))
shown: dict[tuple[Situation, Through], set[str]] = {}


def shows(*situations: Situation, through: tuple[Through, ...]) -> Callable[[Test], Test]:
    """Marks a test that shows these situations, through each of these."""

    def mark(test: Test) -> Test:
        for cell in product(situations, through):
            shown.setdefault(cell, set()).add(f"{test.__module__}.{test.__qualname__}")
        return test

    return mark
