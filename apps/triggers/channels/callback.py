"""Results of webhooks with `answer: callback`: a channel of its own for each, which no document has to name.

So a result is signed, tried again, written down and sent again by hand as every other message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from apps.agents.config.schema import Document
from apps.tasks.events import EventType
from apps.triggers.channels import webhook
from apps.triggers.channels.base import ChannelType, channel_types
from apps.triggers.starters.webhook import WebhookSpec as WebhookTrigger

RESULTS = [EventType.EXECUTION_COMPLETED, EventType.EXECUTION_FAILED, EventType.EXECUTION_CANCELLED]


class CallbackSpec(webhook.WebhookSpec):
    """Where the results of an entry point's tasks go."""

    type: Literal["callback"] = "callback"  # type: ignore[assignment]  # another type, with all that a webhook has
    entry_point: str
    include_payload: bool = True

    @property
    def channel(self) -> str:
        return f"_callback-{self.entry_point}"  # which no name in a document begins with

    def wants(self, type: str, agent: str, entry_point: str) -> bool:
        return super().wants(type, agent, entry_point) and entry_point == self.entry_point


def callbacks(document: Document) -> Iterator[CallbackSpec]:
    """Of all webhooks of a document that have one."""
    for name, spec in document.all_entry_points().items():
        trigger = spec.trigger
        if isinstance(trigger, WebhookTrigger) and trigger.callback_url:
            url, secret = trigger.callback_url, trigger.callback_secret
            yield CallbackSpec(entry_point=name, url=url, secret=secret, events=[event.value for event in RESULTS])


def register() -> None:
    channel_types["callback"] = ChannelType("callback", CallbackSpec, webhook.send)  # unknown to documents
