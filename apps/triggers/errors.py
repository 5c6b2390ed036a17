"""What can be refused about entry points, notifications and webhooks; nothing was changed then."""

from __future__ import annotations


class EntryPointRefused(Exception):
    """The operation is not possible now."""

    code = "refused"


class EntryPointGone(EntryPointRefused):
    """The configuration does not name the entry point any more."""

    code = "entry_point_gone"


class EntryPointPaused(EntryPointRefused):
    """An operator has paused the entry point; it starts nothing until it is resumed."""

    code = "entry_point_paused"


class EntryPointActive(EntryPointRefused):
    """Only an entry point that is paused can be resumed."""

    code = "entry_point_active"


class TimersNotPaused(EntryPointRefused):
    """Only where all timers are paused can all be resumed."""

    code = "timers_not_paused"


class NotATimer(EntryPointRefused):
    """Only a timer has times that it could have fired at."""

    code = "not_a_timer"


class BackfillTooLarge(EntryPointRefused):
    """These are more times than are made up for at once."""

    code = "backfill_too_large"


class BackfillChanged(EntryPointRefused):
    """The timer has fired, or was changed, since its times were counted; count again."""

    code = "backfill_changed"


class NothingStarted(EntryPointRefused):
    """The call was understood and written down, and no task was made of it; the message says why."""

    code = "nothing_started"


class TemplateFailed(Exception):
    """A template could not be made into a value; the message says why."""

    code = "template_failed"


class NotRedeliverable(EntryPointRefused):
    """What has come cannot be handed to the entry point once more; the message says why."""

    code = "not_redeliverable"


class NotificationRefused(Exception):
    """The operation is not possible now."""

    code = "refused"


class ChannelNotActive(NotificationRefused):
    """The channel sends nothing: the configuration says so, or it was switched off after repeated failure."""

    code = "channel_not_active"


class ChannelNotDisabled(NotificationRefused):
    """Only a channel that was switched off after repeated failure can be enabled."""

    code = "channel_not_disabled"


class DeliveryWaiting(NotificationRefused):
    """The message is on its way already."""

    code = "delivery_waiting"


class BadSignature(Exception):
    """The request does not prove that it was sent by somebody who has the secret."""

    code = "bad_signature"
