"""How the console's templates show a state, a time, a length of time and a payload.

Everything that a model, a tool or a person wrote is text: nothing here marks any of it as safe.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from apps.console import inputs, words
from apps.console.exactly import exactly, glance, lines, properties, visible
from apps.tenancy.payloads import HIDDEN, HIDDEN_TEXT

register = template.Library()

STATES = {  # state -> icon and label; the colours are the tokens `--state-…` of console.css
    "pending": ("schedule", "Pending"),
    "running": ("play_circle", "Running"),
    "input_required": ("back_hand", "Input required"),
    "completed": ("check_circle", "Completed"),
    "failed": ("error", "Failed"),
    "cancelled": ("block", "Cancelled"),
    "crashed": ("bolt", "Crashed"),
    "released": ("undo", "Handed back"),
    "paused": ("back_hand", "Waited for a person"),
    "ready": ("inbox", "Ready"),
    "scheduled": ("schedule", "Scheduled"),
    "leased": ("play_circle", "Leased"),
    "parked": ("local_parking", "Parked"),
    "open": ("mark_email_unread", "Open"),
    "retried": ("replay", "Retried"),
    "discarded": ("delete", "Discarded"),
    "waiting": ("schedule", "Waiting"),
    "done": ("check_circle", "Done"),
    "skipped": ("redo", "Skipped"),
    "stopped": ("stop_circle", "Stopped"),
    "approved": ("check_circle", "Approved"),
    "answered": ("check_circle", "Answered"),
    "rejected": ("cancel", "Rejected"),
    "expired": ("timer_off", "Expired"),
    "active": ("check_circle", "Active"),
    "failing": ("warning", "Failing"),
    "disabled": ("notifications_off", "Switched off"),
    "off": ("do_not_disturb_on", "Not enabled"),
    "delivered": ("check_circle", "Delivered"),
}
VERDICTS = {  # about what came for a webhook -> the state whose colour it has, and icon
    "started": ("completed", "play_circle"),
    "queued": ("pending", "schedule"),
    "replaced": ("completed", "swap_horiz"),
    "skipped": ("cancelled", "redo"),
    "filtered": ("cancelled", "filter_alt"),
    "refused": ("failed", "error"),
    "paused": ("parked", "pause_circle"),
    "unreadable": ("failed", "help"),
    "unverified": ("off", "gpp_bad"),
    "handshake": ("off", "handshake"),
}
_TICKS = re.compile(r"`([^`]+)`")
MAX_SHOWN = 100_000  # characters of a payload
SHORT = 80  # characters of JSON that are shown on one line
FOLD_LINES, FOLD_CHARACTERS = 24, 2000


@register.simple_tag
def icon(name: str) -> SafeString:
    return format_html('<span class="material-symbols-outlined icon" aria-hidden="true">{}</span>', name)


@register.simple_tag
def state(value: str) -> SafeString:
    """A badge: colour, icon and label say the same."""
    symbol, label = STATES[value]
    return format_html('<span class="state" data-state="{}">{}{}</span>', value, icon(symbol), label)


@register.simple_tag
def verdict(value: str) -> SafeString:
    """A badge: colour, icon and label say the same."""
    tone, symbol = VERDICTS[value]
    return format_html('<span class="state" data-state="{}">{}{}</span>', tone, icon(symbol), words_of(value))


@register.filter
def verdict_icon(value: str) -> str:
    return VERDICTS[value][1]


@register.filter
def ticks(text: str) -> SafeString:
    """Text in which `what stands in backticks` is code."""
    return mark_safe(_TICKS.sub(r"<code>\1</code>", escape(text)))  # noqa: S308 - escaped, but for the tags above


@register.filter
def words_of(name: str) -> str:
    """`token_issued` as a person would say it."""
    return name.replace("_", " ").capitalize()


@register.filter
def state_label(value: str) -> str:
    return STATES[value][1]


@register.filter
def state_icon(value: str) -> str:
    return STATES[value][0]


@register.simple_tag
def when(at: datetime | None, missing: str = "-") -> SafeString | str:
    """A time: relative, and exact on hover. console.js keeps it current and puts it into the viewer's zone."""
    if at is None:
        return missing
    at = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        at.strftime("%Y-%m-%d %H:%M:%S"),
        words.relative(at, timezone.now()),
    )


@register.simple_tag
def left(at: datetime) -> SafeString:
    """How long there is until then; exact on hover. console.js counts it down."""
    at, seconds = at.astimezone(UTC), (at - timezone.now()).total_seconds()
    return format_html(
        '<time datetime="{}" title="{} UTC" data-left>{}</time>',
        at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        at.strftime("%Y-%m-%d %H:%M:%S"),
        f"{words.duration(max(1.0, float(int(seconds))))} left" if seconds > 0 else "time is over",
    )


@register.simple_tag
def offset(at: datetime, seconds: float) -> SafeString:
    """A time as the distance from a beginning; exact on hover."""
    at = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC" data-fixed>+{}</time>',
        at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        words.duration(seconds),
    )


register.filter("duration", words.duration)
register.filter("money", words.money)


@register.filter
def took(item: Any) -> float | None:
    """Seconds from `started_at` to `finished_at`, or until now."""
    if item.started_at is None:
        return None
    length: timedelta = (item.finished_at or timezone.now()) - item.started_at
    return length.total_seconds()


@register.filter
def summary(value: Any, length: int = 120) -> str:
    """One line of a payload."""
    text = " ".join(_text(value).split())
    return text if len(text) <= length else text[: length - 1] + "…"


@register.inclusion_tag("console/_payload.html")
def payload(value: Any, key: str, label: str = "") -> dict[str, Any]:
    """A payload, pretty and copyable, folded when it is long. `key` tells it from others on the page."""
    text = _text(value)
    shown = text[:MAX_SHOWN]
    lines = shown.count("\n") + 1
    return {
        "key": key,
        "label": label,
        "text": shown,
        "cut": len(text) - len(shown),
        "lines": lines,
        "long": lines > FOLD_LINES or len(shown) > FOLD_CHARACTERS,
        "characters": len(text),
        "json": not isinstance(_plain(value), str),
    }


def _plain(value: Any) -> Any:
    return value["text"] if inputs.is_text(value) else value


def _text(value: Any) -> str:
    if value == HIDDEN:
        return HIDDEN_TEXT
    plain = _plain(value)
    if isinstance(plain, str):
        return plain
    line = json.dumps(plain, ensure_ascii=False)
    return line if len(line) <= SHORT else json.dumps(plain, indent=2, ensure_ascii=False)


register.filter("exactly", exactly)
register.filter("glance", glance)
register.filter("lines", lines)
register.filter("properties", properties)
register.filter("visible", visible)


@register.filter
def outcome(verb: str) -> str:
    """What an approval counts as that nobody has decided about."""
    return {"approve": "approved", "reject": "rejected", "fail": "failed"}.get(verb, verb)


@register.filter
def pretty(value: Any) -> str:
    return _text(value)[:MAX_SHOWN]
