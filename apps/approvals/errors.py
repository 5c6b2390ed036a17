"""Why a decision was refused; nothing was changed."""

from __future__ import annotations


class ApprovalError(Exception):
    code = "approval_error"


class AlreadyDecided(ApprovalError):
    """Somebody was faster, or the task has ended otherwise. `winner` says how it was closed, for people."""

    code = "already_decided"

    def __init__(self, winner: str) -> None:
        super().__init__(f"This was closed already: {winner}.")
        self.winner = winner


class NothingToDecide(ApprovalError):
    """The task waits for nobody's decision."""

    code = "nothing_to_decide"


class DecisionNotPossible(ApprovalError):
    """What is asked cannot be decided in this way."""

    code = "decision_not_possible"


class DecisionInvalid(ApprovalError):
    """The decision lacks something, or has too much. `field` names what."""

    code = "decision_invalid"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
