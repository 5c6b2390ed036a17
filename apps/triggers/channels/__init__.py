"""The types of channels: what each may say in the document, and how it sends a message.

A type is a module here that registers itself; nothing else knows it by name.
"""

from __future__ import annotations

from apps.triggers.channels import callback, email, slack, webhook


def register() -> None:
    for channel_type in (webhook, slack, email, callback):
        channel_type.register()
