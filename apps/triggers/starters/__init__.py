"""What starts work: what each type of trigger may say in the document, and what it does.

A type is a module here that registers itself; nothing else knows it by name.
"""

from __future__ import annotations

from apps.triggers.starters import call, event, timer, webhook


def register() -> None:
    for trigger_type in (call, event, timer, webhook):
        trigger_type.register()
