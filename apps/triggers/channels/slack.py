"""`type: slack`: an incoming webhook of Slack, or of a server that takes the same JSON (Mattermost, Rocket.Chat)."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from apps.agents.config.references import REFERENCE
from apps.triggers import messages
from apps.triggers.channels.base import ChannelType, NotificationSpec, Outcome, Outgoing
from apps.triggers.channels.base import register as register_type
from apps.triggers.channels.http import Address, as_address, parts, post

LONGEST = 2900  # characters of a section; Slack takes 3000


class SlackSpec(NotificationSpec):
    """An incoming webhook of a chat."""

    references: ClassVar[frozenset[str]] = frozenset({"url"})

    type: Literal["slack"]
    """A text in a chat."""
    url: Address
    """The address of the incoming webhook, as `${secret:NAME}`: whoever has it can post."""

    @field_validator("url")
    @classmethod
    def _is_secret(cls, url: str) -> str:
        if not REFERENCE.search(url):
            raise ValueError("whoever has this address can post: store it in the App and write ${secret:NAME} here")
        return url

    @property
    def target(self) -> str:
        return self.url


def escaped(text: str) -> str:
    """Text that means nothing to Slack: no link, no mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def blocks(message: dict[str, Any]) -> dict[str, Any]:
    """What is posted: text for phones, and for servers that know nothing else; blocks for Slack itself."""
    title, link = escaped(messages.subject(message)), message["data"]["link"]
    body = "\n".join(f"*{escaped(label)}*: {escaped(value)}" for label, value in messages.lines(message))
    words = {"type": "mrkdwn", "text": f"*{title}*\n{body}"[:LONGEST], "verbatim": True}  # no address becomes a link
    button = {"type": "button", "text": {"type": "plain_text", "text": "Open in Hector"}, "url": link}
    return {
        "text": f"{title}\n<{link}|Open in Hector>",
        "blocks": [{"type": "section", "text": words}, {"type": "actions", "elements": [button]}],
    }


async def send(out: Outgoing) -> Outcome:
    url = as_address(out.resolve(out.spec.url))
    body = json.dumps(blocks(out.message), ensure_ascii=False).encode()
    return await post(url, body, {}, secrets=parts(url))


def register() -> None:
    register_type(ChannelType("slack", SlackSpec, send, at_once=1))  # in order; and Slack takes about one a second
