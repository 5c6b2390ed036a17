"""Which approvals a page shows: read from the address, written back into it, and turned into one query.

Each number on a page is counted by the query of the list that it leads to.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone

from apps.accounts.permissions import Caller
from apps.approvals import inbox, words
from apps.approvals.choices import choices
from apps.approvals.models import Approval, Decision
from apps.console import filters, limits
from apps.console.exactly import visible
from apps.console.filters import WINDOWS
from apps.console.templatetags.console import summary
from apps.console.words import Count

PAGE = 50
TABS = {"mine": "Mine", "team": "Team", "all": "All", "decided": "Decided"}
KINDS = {"tool_call": "Calls of tools", "question": "Questions", "in_doubt": "In doubt", "budget": "Limits"}
OUTCOMES = {"approved": "Approved", "rejected": "Rejected", "expired": "Expired", "cancelled": "Cancelled"}
Status, Kind, Verb = Approval.Status, Approval.Kind, Decision.Verb


@dataclass(frozen=True)
class Which:
    """What approvals are narrowed to. An empty field does not narrow; `status`, `actor` and `asked` (when it was: a key
    of WINDOWS) are of decided ones."""

    tab: str = "mine"
    kind: str = ""
    agent: str = ""
    tool: str = ""
    status: str = ""
    actor: str = ""
    asked: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> Which:
        """What an address says; values that mean nothing are passed over."""
        tab, kind, status, asked = (query.get(name, "") for name in ("tab", "kind", "status", "asked"))
        agent, tool, actor = (query.get(name, "").strip()[:200] for name in ("agent", "tool", "actor"))
        return cls(
            tab=tab if tab in TABS else "mine",
            kind=kind if kind in KINDS else "",
            agent=agent,
            tool=tool,
            status=status if status in OUTCOMES and tab == "decided" else "",
            actor=actor if tab == "decided" else "",
            asked=asked if asked in WINDOWS and tab == "decided" else "",
        )

    def but(self, **changes: Any) -> Which:
        return dataclasses.replace(self, **changes)

    def parameters(self) -> list[tuple[str, str]]:
        values = dataclasses.asdict(self)
        return [(name, value) for name, value in values.items() if value and (name, value) != ("tab", "mine")]

    @property
    def url(self) -> str:
        query = urlencode(self.parameters())
        return reverse("inbox") + (f"?{query}" if query else "")

    @property
    def query(self) -> str:
        return urlencode(self.parameters())

    @property
    def is_open(self) -> bool:
        return self.tab != "decided"

    def approvals(self, by: Caller) -> QuerySet[Approval]:
        """In no order yet."""
        found = {"mine": inbox.mine(by), "team": inbox.team(by), "all": inbox.open_approvals()}.get(self.tab)
        if found is None:
            found = inbox.decided()
        equal = {"kind": self.kind, "task__agent": self.agent, "tool": self.tool, "status": self.status}
        found = found.filter(**{name: value for name, value in equal.items() if value})
        if self.actor:
            found = found.filter(Exists(Decision.objects.filter(approval=OuterRef("pk"), actor=self.actor)))
        if self.asked:
            found = found.filter(pk__gte=filters.first_id(timezone.now() - WINDOWS[self.asked]))
        return found

    def count(self, by: Caller) -> Count:
        return filters.capped(self.approvals(by))


@dataclass(frozen=True)
class Tab:
    label: str
    url: str
    count: Count | None
    active: bool


def tabs(which: Which, by: Caller, mine: Count) -> list[Tab]:
    """Those that are open are counted (`mine` has been); history is not."""
    counts = {"mine": mine, "team": Which(tab="team").count(by), "all": Which(tab="all").count(by)}
    return [Tab(label, Which(tab=name).url, counts.get(name), which.tab == name) for name, label in TABS.items()]


@dataclass(frozen=True)
class Row:
    """`made` are the decisions that count, in words too: of an open approval all of its level, of a closed one those
    that closed it. `agreed` is how many people have decided the same."""

    approval: Approval
    title: str
    icon: str
    made: list[tuple[Decision, str]]
    agreed: int

    @property
    def state(self) -> str:
        return "answered" if self.approval.outcome == Verb.ANSWER else self.approval.status

    @property
    def actors(self) -> list[str]:
        return [decision.actor for decision, _ in self.made]


@dataclass(frozen=True)
class Slice:
    rows: list[Row]
    more: UUID | None  # the last one that is shown, if there are others


def page(which: Which, by: Caller, after: UUID | None) -> Slice:
    """Open ones by how long they wait, the longest first; decided ones the newest first."""
    found = which.approvals(by).select_related("task").defer("schema", "policy").prefetch_related("decisions")
    found = found.order_by("id" if which.is_open else "-id")
    if after is not None:
        found = found.filter(**{"pk__gt" if which.is_open else "pk__lt": after})
    rows = list(found[: PAGE + 1])
    return Slice([row(one) for one in rows[:PAGE]], rows[PAGE - 1].pk if len(rows) > PAGE else None)


def row(approval: Approval) -> Row:
    made = [decision for decision in approval.decisions.all() if decision.level == approval.level]
    if approval.status != Status.OPEN:
        last = next((one.digest for one in reversed(made) if one.decision == approval.outcome), None)
        made = [decision for decision in made if decision.digest == last]
    said = choices(approval)
    labelled = [(decision, said[Verb(decision.decision)].label) for decision in made]
    agreed = max(Counter(decision.digest for decision in made).values(), default=0)
    return Row(approval, title(approval), ICONS[Kind(approval.kind)], labelled, agreed)


ICONS = {Kind.TOOL_CALL: "build", Kind.QUESTION: "help", Kind.IN_DOUBT: "question_mark", Kind.BUDGET: "speed"}


def title(approval: Approval) -> str:
    match approval.kind:
        case Kind.QUESTION:
            return visible(summary(approval.prompt, 120)) or "The agent asks"
        case Kind.IN_DOUBT:
            return f"{visible(approval.tool)}: did it run?"
        case Kind.BUDGET:
            return f"Limit reached: {limits.of(approval).now}"
    return f"Call {visible(approval.tool)}"


def policy(approval: Approval) -> str:
    """Why it asks, whom, and until when."""
    return words.explain(approval.asked_by(), requester=approval.requester)
