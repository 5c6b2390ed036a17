"""What can be refused about notifications and webhooks; nothing was changed then."""

from __future__ import annotations


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
