"""Revisions: a checked document put in force, whole or not at all, numbered, compared and rolled back.

Applying is declarative: agents that the document no longer names are removed, while their AgentVersions stay for the
tasks that pinned them. An apply that changes nothing makes no revision. Of two applies at once, the one that did not
see the other's revision is refused.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction

from apps.agents.config.checks import check
from apps.agents.config.reading import read
from apps.agents.config.schema import Document
from apps.agents.config.spec import digest, resolve
from apps.agents.config.writing import as_yaml
from apps.agents.models import Agent, AgentVersion, Revision
from apps.tenancy.context import in_app
from apps.tenancy.models import DEFAULT_APP, App

# What else a document puts in force, in the same transaction and inside the App.
when_applied: list[Callable[[App, Document], object]] = []


class RevisionConflict(Exception):
    """Another revision was applied in the meantime; look at it, then apply again."""

    code = "revision_conflict"

    def __init__(self, app: str, found: int, expected: int) -> None:
        super().__init__(
            f"The configuration of {app} is at revision {found}, not {expected}: somebody applied another."
        )
        self.found, self.expected = found, expected


class UnknownRevision(LookupError):
    """The App has no revision of this number."""

    code = "unknown_revision"


def apply(
    app: App,
    document: str | dict[str, Any],
    *,
    by: str,
    comment: str = "",
    expected_revision: int | None = None,
    from_command_line: bool = False,
) -> Revision:
    """Puts a document in force and returns the revision that then is.

    `expected_revision` is the one that the author saw (0: none yet); left out, the newest when this call began.
    Raises ConfigInvalid and RevisionConflict, and then has changed nothing.
    """
    with in_app(app):
        expected = _newest() if expected_revision is None else expected_revision
        source = read(document)
        checked = check(source, allow_env=from_command_line and app.name == DEFAULT_APP)
        return _store(app, checked, source.data, expected, by=by, comment=comment)


def rollback(app: App, number: int, *, by: str) -> Revision:
    """Puts the document of an earlier revision in force again, as a new revision.

    It is checked by today's rules: what it names may be gone. It may read the environment if it could then.
    """
    with in_app(app):
        expected = _newest()
        document = _revision(number).document
        checked = check(read(document), allow_env=app.name == DEFAULT_APP)
        return _store(app, checked, document, expected, by=by, comment=f"Rolls back to revision {number}")


def revisions(app: App) -> list[Revision]:
    """All of them, the newest first."""
    with in_app(app):
        return list(Revision.objects.order_by("-number"))


def current(app: App) -> Revision | None:
    """The revision in force."""
    with in_app(app):
        return Revision.objects.order_by("-number").first()


def export(app: App) -> dict[str, Any]:
    """The document in force, with references in the place of secrets."""
    revision = current(app)
    return dict(revision.document) if revision else {"version": "2"}


def diff(a: Revision, b: Revision) -> str:
    """What changes from `a` to `b`, as a unified diff of YAML; empty if nothing does."""
    before, after = (as_yaml(revision.document).splitlines(keepends=True) for revision in (a, b))
    return "".join(difflib.unified_diff(before, after, f"revision {a.number}", f"revision {b.number}"))


def _newest() -> int:
    return Revision.objects.order_by("-number").values_list("number", flat=True).first() or 0


def _revision(number: int) -> Revision:
    try:
        return Revision.objects.get(number=number)
    except Revision.DoesNotExist:
        raise UnknownRevision(f"There is no revision {number}.") from None


def _store(app: App, checked: Document, data: dict[str, Any], expected: int, *, by: str, comment: str) -> Revision:
    with transaction.atomic():
        newest = Revision.objects.order_by("-number").first()
        found = newest.number if newest else 0
        if found != expected:
            raise RevisionConflict(app.name, found, expected)
        if newest is None or json.dumps(newest.document) != json.dumps(data):
            try:
                with transaction.atomic():
                    newest = Revision.objects.create(number=found + 1, document=data, author=by, comment=comment)
            except IntegrityError:  # another apply took the number since we looked
                raise RevisionConflict(app.name, found + 1, expected) from None
        # Also when the document is the same: a newer Hector may resolve it to more than an older one did.
        _put_in_force(checked)
        for put_in_force in when_applied:
            put_in_force(app, checked)
        return newest


def _put_in_force(document: Document) -> None:
    specs = {name: resolve(document, name) for name in document.agents}
    digests = {name: digest(spec) for name, spec in specs.items()}
    AgentVersion.objects.bulk_create(
        [AgentVersion(digest=digests[name], spec=spec.stored()) for name, spec in specs.items()], ignore_conflicts=True
    )
    versions = AgentVersion.objects.in_bulk(list(digests.values()), field_name="digest")
    Agent.objects.exclude(name__in=list(specs)).delete()
    Agent.objects.bulk_create(
        [
            Agent(name=name, type=spec.type, description=spec.description, version=versions[digests[name]])
            for name, spec in specs.items()
        ],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["type", "description", "version"],
    )
