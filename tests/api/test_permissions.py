"""Who may do what: one table, complete, and what it says is so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from apps.accounts.permissions import OPERATIONS, Caller, Need, Role, may
from apps.tenancy.http.views import ApiView
from tests.api.conftest import Person

PAGES = ("admin/", "approvals/")  # the console has a table of its own (tests/console)


def routes(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in patterns if patterns is not None else get_resolver().url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            if not (entry.namespace or path.startswith(PAGES)):
                yield from routes(entry.url_patterns, path)
        elif not (f"{path}/".startswith(PAGES) and api_view(entry) is None):
            yield path, entry


def api_view(entry: URLPattern) -> type[ApiView] | None:
    view = getattr(entry.callback, "view_class", None) or getattr(entry.callback, "cls", None)
    return view if isinstance(view, type) and issubclass(view, ApiView) else None


def methods(entry: URLPattern) -> set[str]:
    view = api_view(entry)
    if view is None:
        return {"GET"}
    return {name.upper() for name in view.http_method_names if hasattr(view, name)} - {"HEAD"}


def test_every_operation_has_an_entry_and_every_entry_an_operation() -> None:
    found = {(entry.name, method) for path, entry in routes() for method in methods(entry)}
    known = {(route, method) for route, methods in OPERATIONS.items() for method in methods}
    assert found - known == set(), "operations without an entry in apps.accounts.permissions"
    assert known - found == set(), "entries of apps.accounts.permissions that nothing answers to"


@pytest.mark.parametrize(
    ("role", "needs"),
    [
        (Role.VIEWER, {Need.NOBODY, Need.VIEWER}),
        (Role.OPERATOR, {Need.NOBODY, Need.VIEWER, Need.OPERATOR}),
        (Role.APPROVER, {Need.NOBODY, Need.VIEWER, Need.APPROVER}),
        (Role.ADMIN, {Need.NOBODY, Need.VIEWER, Need.OPERATOR, Need.APPROVER, Need.ADMIN}),
    ],
)
def test_each_role_may_do_just_its_share(role: Role, needs: set[Need]) -> None:
    assert {need for need in Need if may(Caller("somebody", role), need)} == needs
    assert all(may(Caller("somebody", role, is_platform_operator=True), need) for need in Need)


def addresses() -> list[tuple[str, str, Need]]:
    """Every operation, at an address where there is nothing."""
    names = {"<slug:name>": "no-such", "<slug:key>": "NO_SUCH"}
    values = {"<uuid:id>": str(uuid4()), "<int:number>": "1", "<int:seq>": "1", "<int:id>": "1"} | names
    found = []
    for path, entry in routes():
        for marker, value in values.items():
            path = path.replace(marker, value)
        if entry.name in OPERATIONS:
            found += [(method, f"/{path}", OPERATIONS[entry.name][method]) for method in sorted(methods(entry))]
    return found


def refused(person: Person, method: str, path: str) -> bool:
    return bool(person(method, path, {}).status_code == 403)


def test_the_table_holds_for_every_operation(
    viewer: Person, operator: Person, approver: Person, admin: Person, platform: Person, stranger: Person
) -> None:
    cast = {Role.VIEWER: viewer, Role.OPERATOR: operator, Role.APPROVER: approver, Role.ADMIN: admin}
    for method, path, need in addresses():
        for role, person in cast.items():
            assert refused(person, method, path) != may(Caller("", role), need), (role, method, path)
        assert not refused(platform, method, path), (method, path)
        answer = stranger(method, path)
        if need != Need.NOBODY:
            assert answer.status_code == 401, (method, path)
            assert answer["WWW-Authenticate"] == 'Bearer realm="Hector"'


def test_a_method_that_a_route_does_not_have_is_405(viewer: Person) -> None:
    answer = viewer.delete("/tasks")
    assert (answer.status_code, answer["Allow"]) == (405, "GET, POST, HEAD")
    assert viewer("OPTIONS", "/tasks").status_code == 405


def test_head_is_as_get(viewer: Person) -> None:
    answer = viewer("HEAD", "/tasks")
    assert (answer.status_code, answer.content) == (200, b"")
