"""Why a decision was refused; nothing was changed."""

from __future__ import annotations

from collections.abc import Sequence


class ApprovalError(Exception):
    code = "approval_error"


class NotEntitled(ApprovalError):
    """This person may not decide about this; the text says who may."""

    code = "not_entitled"


class AlreadyDecided(ApprovalError):
    """Somebody was faster, or the task has ended otherwise. `winner` says how it was closed, for people."""

    code = "already_decided"

    def __init__(self, winner: str) -> None:
        super().__init__(f"This was closed already: {winner}.")
        self.winner = winner


class TooLate(AlreadyDecided):
    """The time for deciding is over."""

    code = "expired"


class AlreadyCounted(ApprovalError):
    """This person has decided so already, and it takes others too."""

    code = "already_counted"


class NothingToDecide(ApprovalError):
    """The task waits for nobody's decision."""

    code = "nothing_to_decide"


class DecisionNotPossible(ApprovalError):
    """What is asked cannot be decided in this way."""

    code = "decision_not_possible"


class DecisionInvalid(ApprovalError):
    """The decision lacks something, has too much, or does not fit the schema: JSON pointers into it, with sentences."""

    code = "decision_invalid"

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(detail for _, detail in faults))
        self.faults = list(faults)

    @classmethod
    def at(cls, field: str, detail: str) -> DecisionInvalid:
        return cls([(f"/{field}", detail)])


class GrantEnded(ApprovalError):
    """The grant was revoked, or its time is over."""

    code = "grant_ended"
