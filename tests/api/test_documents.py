"""/openapi.json and /docs."""

from __future__ import annotations

import json
import re

from apps.tenancy.http.fields import Body
from apps.tenancy.http.views import AppView, OpenView
from tests.api.conftest import Person
from tests.api.test_permissions import api_view, routes
from tests.support.installation import ROOT

NOT_DESCRIBED = {"openapi", "docs", "webhook"}  # what a webhook takes, each App says itself
FOR_EVERYBODY = {"/auth/token", "/auth/token/refresh", "/auth/token/revoke", "/.well-known/jwks.json"}


def test_the_committed_description_is_current(viewer: Person) -> None:
    committed = json.loads((ROOT / "docs/openapi.json").read_text())
    assert viewer.get("/openapi.json").json() == committed, "run `make openapi`"


def test_every_operation_is_described(viewer: Person) -> None:
    document = viewer.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    expected = {
        "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", path)
        for path, entry in routes()
        if api_view(entry) is not None and entry.name not in NOT_DESCRIBED
    }
    assert set(document["paths"]) == expected
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            assert {"4XX", "503"} < set(operation["responses"]), (method, path)
            bearer = {"bearer": []} in operation.get("security", [])
            assert bearer or path in FOR_EVERYBODY, (method, path)


def test_nothing_is_described_by_what_stands_beside_the_code_for_those_who_write_it(viewer: Person) -> None:
    text = json.dumps(viewer.get("/openapi.json").json())
    for base in (AppView, OpenView, Body):
        assert base.__doc__ and base.__doc__.splitlines()[0] not in text, base


def test_a_task_is_described_as_it_is(operator: Person) -> None:
    described = operator.get("/openapi.json").json()["components"]["schemas"]["Task"]
    assert set(described["properties"]) == set(operator.submits())


def test_the_docs_are_served_by_us_alone_and_within_the_pages_policy(viewer: Person) -> None:
    page = viewer.get("/docs", Accept="text/html")
    text = page.content.decode()
    assert page.status_code == 200 and "script-src" not in page["Content-Security-Policy"]
    sources = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(sources) >= 4 and not [source for source in sources if not source.startswith("/")]
    assert not re.search(r"<script>\s*\S", text), "no inline script"
    for source in sources:
        answer = viewer.get(source, Accept="*/*")
        assert answer.status_code == 200, source
        answer.close()
