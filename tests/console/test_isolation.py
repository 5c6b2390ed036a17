"""No page shows anything of another App, or lets anybody do anything to it."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import URLPattern

from apps.console.urls import urlpatterns
from apps.tenancy.models import App
from tests.console.conftest import member
from tests.console.test_access import patterns
from tests.support.traces import Filled, fill

WITHOUT_AN_APP = {"login", "logout", "welcome", "home", "inbox_logout"}


@pytest.fixture
def acme(transactional_db: None) -> Filled:
    return fill(App.objects.get(name="acme"))


def pages() -> list[str]:
    """The pattern of every page that runs in an App."""
    outside = [(entry.name or "", f"/{entry.pattern}") for entry in urlpatterns if isinstance(entry, URLPattern)]
    found = [path for name, path in patterns() + outside if name not in WITHOUT_AN_APP and path != "/admin"]
    assert len(found) > 40
    return found


def test_an_outsider_sees_nothing_of_another_app_on_any_page(acme: Filled, client: Client) -> None:
    before, traces = acme.rows(), acme.traces()
    client.force_login(member("gus", "admin", App.objects.get(name="globex")))
    for path in pages():
        for address in acme.addresses(path):
            for answer in (client.get(address), client.post(address, {"reason": "mine now", "name": "acme"})):
                if path != address:
                    assert answer.status_code in (403, 404), address
                found = {one for one in traces - set(address.split("/")) if one in answer.content.decode()}
                assert found == set(), address
    assert acme.rows() == before, "and nothing has changed"


def test_an_outsider_does_not_get_into_another_app(acme: Filled, client: Client) -> None:
    before = acme.rows()
    client.force_login(member("gus", "admin", App.objects.get(name="globex")))
    for path in pages():
        for address in acme.addresses(path):
            assert client.get(f"{address}?app=acme").status_code == 404, address
            assert client.post(address, {"app": "acme", "reason": "mine now"}).status_code == 404, address
    assert acme.rows() == before
