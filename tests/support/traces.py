"""What there is of an App, for tests in which somebody else must find and change nothing of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.utils import timezone

from apps.approvals.models import Approval
from apps.queue import holds
from apps.sessions.models import Session, Turn
from apps.tasks import operations
from apps.tasks.dead_letters import LetterFilter
from apps.tasks.models import DeadLetter
from apps.tenancy import secrets, tokens
from apps.tenancy.context import in_app
from apps.tenancy.models import App, Credential
from apps.triggers.models import Channel, Delivery
from tests.support.planted import MARK, plant

AGENT, CHANNEL = "agent", "hook"  # which only that App has
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


@dataclass(frozen=True)
class Filled:
    """An App with something of everything."""

    app: App
    ids: tuple[str, ...]  # of a task in each state, an approval, an operation and a message
    letter: int
    token: str  # the id of one of its tokens

    def addresses(self, path: str) -> list[str]:
        """The route's address, or addresses, of what this App has. A kind of place that is new here fails."""
        one = {"name": self.app.name, "key": self.token, "id": str(self.letter), "path": "x"}
        for place, name in {"/agents/": AGENT, "/notifications/": CHANNEL}.items():
            if place in f"/{path}":
                one["name"] = name
        filled = re.sub(r"<(?!uuid)(?:\w+:)?(\w+)>", lambda place: one.get(place[1], "1"), path)
        return sorted({re.sub(r"<uuid:\w+>", an_id, filled) for an_id in self.ids})

    def traces(self) -> set[str]:
        """Texts that stand in no answer to anybody else."""
        return {MARK, self.token, *_UUID.findall(repr(self.rows()))}

    def rows(self) -> dict[str, Any]:
        """Every row of the App, in its own schema and in the shared one."""
        with in_app(self.app):
            own = {model: model._base_manager.all() for label in settings.TENANT_APPS for model in _models(label)}
            shared = {
                relation.related_model: relation.related_model._base_manager.filter(**{relation.field.name: self.app})
                for relation in App._meta.related_objects
            }
            return {model.__name__: list(rows.order_by("pk").values()) for model, rows in (own | shared).items()}


def _models(label: str) -> list[Any]:
    return [model for config in apps.get_app_configs() if config.name == label for model in config.get_models()]


def fill(app: App) -> Filled:
    with in_app(app):
        tasks = plant(app)
        session = Session.objects.create(agent=AGENT, name=MARK, value={"name": MARK}, turns_total=1)
        Turn.objects.create(session=session, seq=1, task=tasks[0].pk, messages=1, value=[{"content": MARK}])
        letter = DeadLetter.objects.get()
        request = operations.Request("discard", LetterFilter(ids=(letter.pk,)), reason=MARK)
        operation = operations.start(app, request, by="tests")
        spec = {"type": "webhook", "events": ["dead_lettered"], "url": f"https://{MARK}/", "secret": "${secret:KEY}"}
        Channel.objects.create(name=CHANNEL, type="webhook", spec=spec, enabled=True)
        sent = {"status": "delivered", "finished_at": timezone.now(), "message": {"said": MARK}}
        delivery = Delivery.objects.create(channel=CHANNEL, type="dead_lettered", event=1, **sent)
        ids = [task.pk for task in tasks] + [Approval.objects.get().pk, operation.pk, delivery.pk, session.pk]
    secrets.put(app, "KEY", MARK)
    tokens.issue_app_token(app.name, note=MARK)
    holds.hold(app, AGENT, by="tests", reason=MARK)
    key = Credential.objects.filter(app=app).latest("pk").key
    return Filled(app, tuple(map(str, ids)), letter.pk, key)
