"""A channel's life: named by the configuration, switched off after repeated failure, enabled again.

A channel is switched off when every attempt of a whole day has failed (`PATIENCE`), or at once when the receiver says
that it is gone (410). What waits for it has failed then, and what happens from then on is not written down for it. An
operator enables it again; so does a configuration that changes its entry.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Now

from apps.agents.config.schema import Document
from apps.agents.registry import STORED
from apps.queue import entries
from apps.tasks import outbox
from apps.tasks.events import EventType, NewEvent, announce
from apps.tenancy.models import App
from apps.triggers.channels.base import NotificationSpec, channel_types
from apps.triggers.channels.callback import callbacks
from apps.triggers.errors import ChannelNotActive, ChannelNotDisabled
from apps.triggers.models import Channel, Delivery

log = structlog.get_logger(__name__)
KIND = "delivery"  # of a channel's queue entry
SUBSCRIBER = "notifications"  # of the outbox
PATIENCE = timedelta(days=1)
ACTIVE = {"enabled": True, "disabled_at": None}


def spec_of(channel: Channel) -> NotificationSpec:
    return channel_types[channel.type].spec.model_validate(channel.spec, extra="ignore", context=STORED)


def locked(**which: object) -> list[Channel]:
    """Those channels, by name; nobody changes them or their deliveries until the transaction ends."""
    return list(Channel.objects.select_for_update().filter(**which).order_by("name"))


def lock_active(name: str) -> Channel:
    """The channel, locked. Raises ChannelNotActive."""
    found = next(iter(locked(name=name)), None)
    refused = why_not_active(name, found)
    if found is None or refused:
        raise ChannelNotActive(refused)
    return found


def why_not_active(name: str, channel: Channel | None) -> str:
    """Why nothing can be sent by the channel of this name; empty: it can."""
    if channel is None:
        return f"there is no channel {name!r} in the configuration any more"
    if channel.state == Channel.State.OFF:
        return f"the configuration says that {name!r} is not enabled"
    if channel.state == Channel.State.DISABLED:
        return f"{name!r} was switched off: {channel.disabled_because}; enable it first"
    return ""


def put_in_force(app: App, document: Document) -> None:
    """Makes the channels those of the document, in the transaction that applies it."""
    named = [spec for spec in document.notifications if isinstance(spec, NotificationSpec)]
    specs = {spec.channel: spec for spec in [*named, *callbacks(document)]}
    there = {channel.name: channel for channel in locked()}
    for name in there.keys() - specs.keys():
        _give_up(there[name], "the configuration does not name the channel any more")
        entries.remove(app, there[name].pk, kind=KIND)
        there[name].delete()
    for name, spec in specs.items():
        stored = spec.model_dump(mode="json")
        if name not in there:
            Channel.objects.create(name=name, type=spec.type, spec=stored, enabled=spec.enabled)
        elif there[name].spec != stored:
            values = {"type": spec.type, "spec": stored, "enabled": spec.enabled}
            Channel.objects.filter(name=name).update(
                **values, disabled_at=None, disabled_because="", failing_since=None
            )
            if not spec.enabled:
                _give_up(there[name], "the configuration says that the channel is not enabled")
    _subscribe()


def disable(app: App, name: str, reason: str) -> None:
    """Switches an active channel off, and says so."""
    with transaction.atomic():
        channels = {channel.name: channel for channel in locked()}
        mine = channels.get(name)
        if mine is None or mine.disabled_at is not None:
            return
        Channel.objects.filter(pk=mine.pk).update(disabled_at=Now(), disabled_because=reason)
        _give_up(mine, f"the channel was switched off: {reason}")
        _subscribe()
        announce(NewEvent(EventType.NOTIFICATION_DISABLED, {"channel": name, "reason": reason}))
    log.warning("notification_disabled", channel=name, reason=reason)


def enable(app: App, channel: Channel, *, by: str, reason: str = "") -> Channel:
    """Switches a channel on that was switched off. Raises ChannelNotDisabled."""
    with transaction.atomic():
        locked()
        off = Channel.objects.filter(pk=channel.pk, disabled_at__isnull=False)
        if not off.update(disabled_at=None, disabled_because="", failing_since=None):
            raise ChannelNotDisabled(f"{channel.name!r} was not switched off")
        _subscribe()
        payload = {"channel": channel.name, **({"reason": reason} if reason else {})}
        announce(NewEvent(EventType.NOTIFICATION_ENABLED, payload, by))
    channel.refresh_from_db()
    return channel


def has_failed_too_long(name: str) -> bool:
    return Channel.objects.filter(name=name, failing_since__lte=Now() - PATIENCE).exists()


def _give_up(channel: Channel, reason: str) -> None:
    """What waits for the (locked) channel has failed."""
    Delivery.objects.filter(channel=channel.name, status=Delivery.Status.WAITING).update(
        status=Delivery.Status.FAILED, next_attempt_at=None, finished_at=Now(), error=f"Not sent: {reason}."
    )


def _subscribe() -> None:
    """Wants of the outbox what the active channels want. All channels are locked, so nobody else does this now."""
    wanted = {event for channel in Channel.objects.filter(**ACTIVE) for event in spec_of(channel).events}
    outbox.subscribe(SUBSCRIBER, wanted)
