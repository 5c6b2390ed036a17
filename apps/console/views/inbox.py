"""The inbox: what waits for people, what they have decided, and deciding about several at once."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.accounts.permissions import Caller, Need, may
from apps.agents.models import Agent
from apps.approvals import grants, lifecycle, rights
from apps.approvals.choices import choices
from apps.approvals.errors import NotEntitled
from apps.approvals.models import Approval, Decision
from apps.console import frame, inbox
from apps.console.filters import WINDOW_LABELS, capped
from apps.console.inbox import Which
from apps.console.views.render import live_page
from apps.console.views.render import page as show_page
from apps.console.words import plural
from apps.tenancy.models import App

BATCH = 100  # approvals at once
VERBS = {"approve": Decision.Verb.APPROVE, "reject": Decision.Verb.REJECT}
_DONE = {"approve": "approved", "reject": "rejected"}


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    which, by = Which.read(request.GET), frame.caller(request)
    tabs = inbox.tabs(which, by, frame.waiting(request))
    return live_page(
        request, site, "inbox.html", "_inbox.html", "Approvals",
        app=app,
        which=which,
        tabs=tabs,
        open_to_others=next((tab.url for tab in tabs if tab.label == inbox.TABS["all"] and tab.count), ""),
        slice=inbox.page(which, by, _uuid(request.GET.get("after", ""))),
        is_first="after" not in request.GET,
        chips=_chips(which),
        agents=list(Agent.objects.values_list("name", flat=True)[:500]),
        kinds=inbox.KINDS,
        outcomes=inbox.OUTCOMES,
        windows=WINDOW_LABELS,
        granted=capped(grants.in_force()),
        decides=may(by, Need.APPROVER),
        me=by.actor,
    )  # fmt: skip


@dataclass(frozen=True)
class Chip:
    label: str
    value: str
    without: str  # the address without it


_CHIPS = {
    "kind": "Kind", "agent": "Agent", "tool": "Tool", "status": "Outcome", "actor": "Decided by", "asked": "Asked",
}  # fmt: skip


def _chips(which: Which) -> list[Chip]:
    said = {"kind": inbox.KINDS, "status": inbox.OUTCOMES, "asked": WINDOW_LABELS}
    return [
        Chip(label, said.get(name, {}).get(value, value), which.but(**{name: ""}).url)
        for name, label in _CHIPS.items()
        if (value := getattr(which, name))
    ]


def history(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    """Where the console's address of approvals leads: what was decided, by whom and when. Nothing changes it."""
    return redirect(Which(tab="decided").url)


# --- Several at once --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Item:
    """One of a batch: `refused` says why it cannot be decided so, or why it was not; `missing` how many people have to
    decide the same before anything happens."""

    row: inbox.Row
    refused: str = ""

    @property
    def missing(self) -> int:
        approval = self.row.approval
        return approval.required - self.row.agreed if approval.status == Approval.Status.OPEN else 0


def batch(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    """Shows what would be decided; with a POST it is, each by itself, and what became of each is told."""
    given, done, by = request.POST if request.method == "POST" else request.GET, False, frame.caller(request)
    verb = VERBS.get(given.get("decision", ""))
    ids = [wanted for text in given.getlist("id")[:BATCH] if (wanted := _uuid(text)) is not None]
    chosen = _chosen(ids)
    if verb is None or not chosen:
        return redirect(Which.read(given).url)
    refused = {approval.pk: _refuses(approval, verb, by) for approval in chosen}
    if request.method == "POST":
        possible = [pk for pk, reason in refused.items() if not reason]
        comment = request.POST.get("comment", "").strip()[:4000]
        refused |= lifecycle.decide_batch(app, possible, verb, by=by, comment=comment).skipped
        chosen, done = _chosen(ids), True
    items = [Item(inbox.row(approval), refused[approval.pk]) for approval in chosen]
    return show_page(
        request, site, "inbox_batch.html", _title(verb, items, done), [("Approvals", Which.read(given).url)],
        app=app, verb=verb.value, done=done, items=items, which=Which.read(given), back=Which.read(given).url,
        left=[item for item in items if not item.refused], skipped=[item for item in items if item.refused],
        said=_DONE[verb.value],
    )  # fmt: skip


def _title(verb: Decision.Verb, items: list[Item], done: bool) -> str:
    decided = sum(not item.refused for item in items)
    if done:
        return f"{decided:,} {_DONE[verb.value]}, {len(items) - decided:,} skipped"
    return f"{verb.label} {plural(decided, 'request')}"


def _chosen(ids: list[UUID]) -> list[Approval]:
    """In the order in which they were named, each once."""
    found = Approval.objects.select_related("task").prefetch_related("decisions").in_bulk(ids)
    return [found[wanted] for wanted in dict.fromkeys(ids) if wanted in found]


def _refuses(approval: Approval, verb: Decision.Verb, by: Caller) -> str:
    if approval.status != Approval.Status.OPEN:
        return f"It was closed already: {lifecycle.how_closed(approval)}."
    possible = choices(approval)
    if verb not in possible:
        others = ", ".join(choice.label.lower() for choice in possible.values())
        return f"It has to be looked at by itself: {others}."
    try:
        rights.check(approval, by)
    except NotEntitled as error:
        return str(error)
    return ""


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
