"""The form in which a person decides about one approval: the exact arguments, an answer, a comment, a grant."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from apps.approvals import exact
from apps.approvals.choices import Choice, choices
from apps.approvals.errors import DecisionInvalid
from apps.approvals.grants import Terms
from apps.approvals.models import Approval, Decision
from apps.console.filters import moment
from apps.console.schema_fields import MISSING
from apps.console.schema_form import SchemaForm
from apps.tenancy.http.strict_json import read_json

Verb = Decision.Verb
TASK, UNTIL = "task", "until"  # how far a grant goes


class Deciding:
    """What the form holds. `arguments` and `answer` are forms of their own where they can be given.

    With `refused`, this person may not decide: nothing can be changed.
    """

    def __init__(self, request: HttpRequest, approval: Approval, *, refused: str = "") -> None:
        self.approval, self.refused = approval, refused
        self.choices: dict[Decision.Verb, Choice] = choices(approval)
        self.sent = request.POST if request.method == "POST" else None
        self.decision = self._text("decision")
        self.comment = self._text("comment").strip()[:4000]
        self.grant = self._text("grant")
        self.until = self._text("grant_until")
        asked = request.GET if self.sent is None else self.sent  # a form may stand on a page whose address says edit
        may = not refused and approval.status == Approval.Status.OPEN
        self.edits = may and self.takes_arguments and bool(asked.get("edit"))
        self.arguments = self._arguments()
        self.answer = self._answer()

    def _text(self, name: str) -> str:
        return self.sent.get(name, "") if self.sent is not None else ""

    def _takes(self, what: str) -> bool:
        return any(getattr(choice, what) for choice in self.choices.values())

    @property
    def takes_arguments(self) -> bool:
        return self._takes("takes_arguments")

    @property
    def takes_grant(self) -> bool:
        return self._takes("takes_grant")

    def _arguments(self) -> SchemaForm | None:
        if not self.edits:
            return None
        data = self.sent if self._text("edit") else None
        return SchemaForm(data, schema=self.approval.schema, value=self.approval.arguments, whole="Arguments")

    def _answer(self) -> SchemaForm | None:
        if not self._takes("takes_answer"):
            return None
        choice = self._choice()
        data = self.sent if choice and choice.takes_answer else None
        if self.approval.kind == Approval.Kind.QUESTION and self.approval.schema is not None:
            return SchemaForm(data, schema=self.approval.schema, whole="Answer")
        if self._text("answer_is") == "json":
            return SchemaForm(data, schema={}, whole="Result")
        label = "Answer" if self.approval.kind == Approval.Kind.QUESTION else "Result of the call, if it ran"
        return SchemaForm(data, schema={"type": "string"}, whole=label)

    def _choice(self) -> Choice | None:
        return self.choices.get(Verb(self.decision)) if self.decision in Verb.values else None

    @property
    def is_for_review(self) -> bool:
        """Whether changes were sent that nobody has seen as changes yet."""
        choice = self._choice()
        return self.arguments is not None and choice is not None and choice.takes_arguments

    # --- What was decided ---------------------------------------------------------------------------------------------
    def changed_arguments(self) -> dict[str, Any] | None:
        """What the arguments were changed to; None if they were not. Raises DecisionInvalid."""
        if self.arguments is None:
            return self._confirmed()
        if not self.arguments.is_valid():
            raise DecisionInvalid([])
        value: Any = self.arguments.value()
        if exact.digest(value) == exact.digest(self.approval.arguments):
            return None
        if not isinstance(value, dict):
            faults = [("/arguments", "Arguments are an object: names with values.")]
        else:
            faults = exact.faults(self.approval.schema or {}, value, "arguments")
        if faults:
            self.arguments.refuse(faults)
            raise DecisionInvalid([])
        changed: dict[str, Any] = value
        return changed

    def _confirmed(self) -> dict[str, Any] | None:
        """The changes that were shown before they are approved."""
        text = self._text("arguments")
        if not text:
            return None
        try:
            value: Any = read_json(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise DecisionInvalid.at("arguments", "The arguments are not an object in JSON.")
        return value

    @property
    def shown(self) -> dict[str, Any] | None:
        """The changes that the person has seen as such; None if there were none, or they cannot be read."""
        try:
            return self._confirmed()
        except DecisionInvalid:
            return None

    def given_answer(self) -> Any:
        """Raises DecisionInvalid."""
        if self.answer is None or not self.answer.is_bound:
            return None
        if not self.answer.is_valid():
            raise DecisionInvalid([])
        value = self.answer.value()
        return None if value is MISSING or (isinstance(value, str) and not value.strip()) else value

    def refuse(self, error: DecisionInvalid) -> str:
        """Puts the faults beside what they are about; what the page says on top."""
        if self.answer is not None and self.answer.is_bound and error.faults:
            self.answer.refuse(error.faults)
            error = DecisionInvalid([])
        return f"Nothing was decided. {str(error) or 'See what is said below.'}"

    def terms(self) -> Terms | None:
        """How far the decision reaches beyond this call. Raises DecisionInvalid."""
        if self.grant == TASK:
            return Terms()
        if self.grant != UNTIL:
            return None
        instant = moment(self._text("grant_until_utc") or self.until)  # UTC where no script has told the person's zone
        if instant is None:
            raise DecisionInvalid.at("grant", "Say until when calls are granted.")
        return Terms(instant)
