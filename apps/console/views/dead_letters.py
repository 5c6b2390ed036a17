"""Dead letters: in groups, one by one, and what is done about them, which is shown before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.agents.models import Agent
from apps.console import filters, inputs, letters
from apps.console.letters import Letters, number
from apps.console.rail import Chip, RailItem
from apps.console.views.asking import actor, reason
from apps.console.views.render import live_page
from apps.console.views.render import page as show_page
from apps.console.words import plural, sentence
from apps.tasks import dead_letters, operations
from apps.tasks.dead_letters import LetterResolved
from apps.tasks.models import DeadLetter, Operation
from apps.tasks.operations import OperationRefused, Request, SetChanged, Shown
from apps.tenancy.models import App

PAGE = 50
SAMPLE = 5
RECENT = 5  # operations on the page of groups
ALL = "all"  # what is typed where no filter is set


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    which = Letters.read(request.GET).but(fingerprint="", letter=None)
    return live_page(
        request, site, "dead_letters.html", "_dead_letters.html", "Dead letters",
        app=app,
        which=which,
        rail=[_rail_item(which, status, "groups_url") for status in DeadLetter.Status.values],
        chips=_chips(which, "groups_url"),
        page=letters.groups(which, number(request.GET.get("before", ""))),
        operations=list(Operation.objects.all()[:RECENT]),
        **_choices(),
    )  # fmt: skip


def listed(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    which = Letters.read(request.GET)
    before = number(request.GET.get("before", ""))
    found = letters.newest(which)
    rows = list((found.filter(pk__lt=before) if before else found)[: PAGE + 1])
    more = [*which.parameters(), ("before", str(rows[PAGE - 1].pk))] if len(rows) > PAGE else []
    return live_page(
        request, site, "dead_letters.html", "_letters.html", _title(which),
        crumbs=[("Dead letters", which.but(fingerprint="").groups_url)],
        app=app,
        which=which,
        group=letters.one_group(which),
        rail=[_rail_item(which, status, "url") for status in DeadLetter.Status.values],
        chips=_chips(which, "url"),
        rows=[(row, which.but(letter=row.pk)) for row in rows[:PAGE]],
        newest=which.url if before else "",
        older="?" + urlencode(more) if more else "",
        **_choices(),
    )  # fmt: skip


def _title(which: Letters) -> str:
    return "Letters of a group" if which.fingerprint else "Letters"


def _choices() -> dict[str, Any]:
    """What the form of filters offers."""
    return {
        "agents": list(Agent.objects.values_list("name", flat=True)[:500]),
        "windows": filters.WINDOW_LABELS,
    }


def _rail_item(which: Letters, status: str, page: str) -> RailItem:
    of_status = which.but(status=status)
    return RailItem(status, of_status.count(), getattr(of_status, page), which.status == status)


def _chips(which: Letters, page: str) -> list[Chip]:
    texts = {"agent": "Agent", "code": "Error"}
    chips = [
        Chip(label, getattr(which, name), getattr(which.but(**{name: ""}), page))
        for name, label in texts.items()
        if getattr(which, name)
    ]
    if which.entered:
        chips.append(Chip("Filed", filters.WINDOW_LABELS[which.entered], getattr(which.but(entered=""), page)))
    if which.after:
        since = f"{which.after:%Y-%m-%d %H:%M} UTC or later"
        chips.append(Chip("Filed", since, getattr(which.but(after=None), page)))
    return chips


# --- Actions ------------------------------------------------------------------------------------------------------
@dataclass
class Asked:
    """What the form of an action holds, and what was wrong with it."""

    reason: str = ""
    how: str = "canary"  # or "at_once"
    start: str = "journal"  # or "input": each starts over with `given`
    given: str = ""
    typed: str = ""
    fault: str = ""
    changed: str = ""


def retry(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    which = Letters.read(request.POST or request.GET).but(status=DeadLetter.Status.OPEN.value)
    if which.letter is not None:
        return redirect("admin:task_retry", task_id=_letter(which).task_id)
    return _act(request, app, site, which, Operation.Verb.RETRY)


def discard(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    which = Letters.read(request.POST or request.GET).but(status=DeadLetter.Status.OPEN.value)
    if which.letter is None:
        return _act(request, app, site, which, Operation.Verb.DISCARD)
    letter = _letter(which)
    asked = _asked(request)
    if letter.status != DeadLetter.Status.OPEN:
        asked.changed = sentence(LetterResolved(letter))
    elif request.method == "POST":
        asked.fault = _reason_fault(asked)
        try:
            if not asked.fault:
                dead_letters.discard(app, letter, by=actor(request), reason=asked.reason)
                messages.success(request, "The letter is discarded. Its task stays failed.")
                return redirect(which.but(letter=None).url)
        except LetterResolved as error:
            asked.changed = sentence(error)
    return _answer(
        show_page(
            request, site, "letter_discard.html", "Discard letter", _crumbs(), app=app, letter=letter, which=which,
            back=which.but(letter=None).url, asked=asked,
        ),
        asked,
    )  # fmt: skip


def _act(request: HttpRequest, app: App, site: AdminSite, which: Letters, verb: Operation.Verb) -> HttpResponse:
    """Shows what would be touched, and starts the operation once that was confirmed."""
    asked = _asked(request)
    if request.method == "POST":
        operation = _start(request, app, which, verb, asked)
        if operation is not None:
            return redirect("admin:operation", operation_id=operation.pk)
        which = which.but(up_to=None)
    first = letters.newest(which).first()
    which = which.fixed(first.pk if first else 0)
    shown = operations.shown(which.wanted())
    asked.given = asked.given or (inputs.as_text(first.task.input) if first else "")
    agents = list(dead_letters.find(which.wanted()).order_by().values_list("agent", flat=True).distinct()[:11])
    return _answer(
        show_page(
            request, site, f"letters_{verb}.html", f"{verb.label} {plural(shown.count, 'letter')}", _crumbs(),
            app=app,
            which=which,
            chips=_chips(which, "url"),
            shown=shown,
            sample=list(letters.newest(which)[:SAMPLE]),
            agents=agents,
            asked=asked,
            back=which.but(up_to=None).url,
        ),
        asked,
    )  # fmt: skip


def _start(request: HttpRequest, app: App, which: Letters, verb: Operation.Verb, asked: Asked) -> Operation | None:
    """The operation; None if it was not started, and then `asked` says why."""
    try:
        wanted = Request(
            verb,
            which.wanted(),
            new_input=_new_input(which, asked) if verb == Operation.Verb.RETRY else None,
            reason=asked.reason,
            canary=verb == Operation.Verb.RETRY and asked.how == "canary",
            everything=asked.typed.strip().lower() == ALL,
        )
    except ValueError as error:
        asked.fault = f"The input was not accepted. {sentence(error)}"
        return None
    if verb == Operation.Verb.DISCARD and (fault := _reason_fault(asked)):
        asked.fault = fault
    elif not (which.narrows or wanted.everything):
        asked.fault = "No filter is set, so this reaches every open dead letter of the App: type “all” if you mean it."
    if asked.fault:
        return None
    expected = Shown(number(request.POST.get("count", "")) or 0, request.POST.get("digest", ""))
    try:
        return operations.start(app, wanted, by=actor(request), expected=expected)
    except SetChanged as error:
        asked.changed = f"{sentence(error)} Look at them again below."
    except OperationRefused as error:
        asked.changed = sentence(error)
    return None


def _new_input(which: Letters, asked: Asked) -> Any:
    """None: each goes on as it was. Raises ValueError for what is no JSON."""
    if asked.start != "input":
        return None
    first = letters.newest(which).first()
    return inputs.read(asked.given, like=first.task.input) if first else asked.given


def _asked(request: HttpRequest) -> Asked:
    given = request.POST or request.GET
    return Asked(
        reason=reason(request),
        how="at_once" if given.get("how") == "at_once" else "canary",
        start="input" if given.get("start") == "input" else "journal",
        given=request.POST.get("input", ""),
        typed=request.POST.get("typed", ""),
    )


def _reason_fault(asked: Asked) -> str:
    return "" if asked.reason else "Say why: somebody will ask what became of this work."


def _answer(response: HttpResponse, asked: Asked) -> HttpResponse:
    if asked.changed:
        response.status_code = 409
    elif asked.fault:
        response.status_code = 400
    return response


def _letter(which: Letters) -> DeadLetter:
    letter = DeadLetter.objects.select_related("task").filter(pk=which.letter or 0).first()
    if letter is None:
        raise Http404("There is no such dead letter in this App. It may be kept no longer.")
    return letter


def _crumbs() -> list[tuple[str, str]]:
    return [("Dead letters", reverse("admin:dead_letters"))]
