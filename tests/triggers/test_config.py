"""`notifications:` in the document: what may be written, and what applying it does."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.config.checks import validate
from apps.agents.config.faults import ConfigInvalid
from apps.agents.config.schema import MOST_CHANNELS, json_schema
from apps.tasks.models import Subscription
from apps.tenancy.models import App
from apps.triggers.models import Channel, Delivery
from apps.triggers.notifications import deliveries, lifecycle
from tests.triggers.conftest import Configure, hook

URL = "https://example.com/hook"


def faults(*channels: Any) -> dict[str, str]:
    document = {"agents": {"echo": {"type": "function", "handler": "tests.support.functions.echo"}}}
    with pytest.raises(ConfigInvalid) as refused:
        validate(document | {"notifications": list(channels)})
    found: dict[str, str] = {}
    for fault in refused.value.faults:
        found[fault.pointer] = found.get(fault.pointer, "") + fault.detail
    return found


@pytest.mark.parametrize(
    ("channel", "pointer", "says"),
    [
        (hook(URL, "no_such_event"), "/notifications/0/events/0", "There is no event `no_such_event`"),
        (hook(URL, "llm_started"), "/notifications/0/events/0", "There is no event"),
        (hook(URL) | {"events": []}, "/notifications/0/events", "at least 1"),
        (hook(URL, colour="red"), "/notifications/0/colour", "is not a key here"),
        (hook(URL, agents=["nobody"]), "/notifications/0/agents/0", "There is no `nobody` in `agents`"),
        (hook("ftp://example.com"), "/notifications/0/url", "Write an address"),
        (hook("https://user:password@example.com"), "/notifications/0/url", "not written in clear"),
        (hook(URL) | {"secret": "whsec_abc"}, "/notifications/0/secret", "not written in clear"),
        ({"url": URL, "events": ["dead_lettered"]}, "/notifications/0/secret", "required"),
        ({"type": "pigeon"}, "/notifications/0/type", "Must be one of: email, slack, webhook"),
        (hook(URL, name="${secret:HOOK}"), "/notifications/0/name", "only resolved in"),
        ({"type": "slack", "url": URL, "events": ["dead_lettered"]}, "/notifications/0/url", "can post"),
        ({"type": "email", "to": "anna", "events": ["dead_lettered"]}, "/notifications/0/to", "name@example.com"),
        ({"type": "email", "to": [], "events": ["dead_lettered"]}, "/notifications/0/to", "at least 1"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(channel: Any, pointer: str, says: str) -> None:
    found = faults(channel)
    assert says in found[pointer], found


def test_two_channels_of_one_name_are_refused() -> None:
    assert "give this one a `name`" in faults(hook(URL), hook(URL))["/notifications/1"]
    assert "called `ops`" in faults(hook(URL, name="ops"), hook(URL, name="ops"))["/notifications/1"]


def test_an_app_has_only_so_many_channels() -> None:
    channels = [hook(URL, name=f"hook-{number}") for number in range(MOST_CHANNELS + 1)]
    assert "/notifications" in faults(*channels)


def test_an_editor_knows_the_types_and_the_events() -> None:
    schema = json_schema()
    variants = schema["properties"]["notifications"]["items"]["oneOf"]
    by_type = {variant["properties"]["type"]["const"]: variant["properties"] for variant in variants}
    assert set(by_type) == {"webhook", "slack", "email"}
    events = by_type["webhook"]["events"]["items"]["enum"]
    assert "dead_lettered" in events and "llm_started" not in events


def subscribed() -> set[str]:
    return set(Subscription.objects.values_list("type", flat=True))


def test_applying_makes_the_channels_those_of_the_document(app: App, configure: Configure) -> None:
    configure(
        hook(URL, "dead_lettered", "execution_failed"),
        {"type": "email", "name": "on-call", "to": "anna@example.com", "events": ["execution_cancelled"]},
        hook(URL, "operation_started", name="silent", enabled=False),
    )
    assert {channel.name: channel.state for channel in Channel.objects.all()} == {
        "webhook": "active", "on-call": "active", "silent": "off",
    }  # fmt: skip
    assert subscribed() == {"dead_lettered", "execution_failed", "execution_cancelled"}
    assert "whsec_" not in str(Channel.objects.get(name="webhook").spec)
    configure(hook(URL, "execution_failed"))
    assert [channel.name for channel in Channel.objects.all()] == ["webhook"]
    assert subscribed() == {"execution_failed"}
    configure()
    assert not Channel.objects.exists() and subscribed() == set()


def test_a_document_that_changes_nothing_of_a_channel_leaves_its_state(app: App, configure: Configure) -> None:
    configure(hook(URL))
    lifecycle.disable(app, "webhook", "it was gone")
    configure(hook(URL), hook(URL, name="other"))
    assert Channel.objects.get(name="webhook").state == "disabled"
    configure(hook(URL + "/new"))
    assert Channel.objects.get(name="webhook").state == "active"
    assert subscribed() == {"dead_lettered"}


def test_what_waits_for_a_channel_that_is_taken_away_has_failed(app: App, configure: Configure) -> None:
    configure(hook(URL), hook(URL, name="other"))
    for name in ("webhook", "other"):
        deliveries.send_test(app, Channel.objects.get(name=name), by="anna")
    configure(hook(URL, enabled=False))
    assert {one.channel: (one.status, one.error) for one in Delivery.objects.all()} == {
        "webhook": ("failed", "Not sent: the configuration says that the channel is not enabled."),
        "other": ("failed", "Not sent: the configuration does not name the channel any more."),
    }


def test_a_channel_that_an_earlier_version_has_stored_still_works(app: App, configure: Configure) -> None:
    configure(hook(URL, "dead_lettered"))
    channel = Channel.objects.get()
    channel.spec |= {"events": ["dead_lettered", "no_longer_known"], "no_longer_a_key": 1}
    assert lifecycle.spec_of(channel).events == ["dead_lettered", "no_longer_known"]
