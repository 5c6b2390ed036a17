"""Where people decide: through the API and on the command line, by the same words in a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from typing import Any

from django.core.management import call_command

from apps.tenancy.tokens import issue_app_token
from tests.api.conftest import Person


class Refused(Exception):
    """With what the person is told."""


@dataclass(frozen=True)
class Terms:
    """Of a grant; no instant: for the task at hand."""

    until: datetime | None = None


class Api:
    """Somebody with a token of the App `acme`."""

    def __init__(self, role: str = "approver") -> None:
        self._person = Person(issue_app_token("acme", role=role))

    def approvals(self, status: str = "open") -> list[dict[str, Any]]:
        """The longest wait first."""
        return self._results(f"/approvals?status={status}")[::-1]

    def grants(self) -> list[dict[str, Any]]:
        return self._results("/grants?in_force=true")[::-1]

    def approve(self, approval: str, *, grant: Terms | None = None, **more: Any) -> None:
        if grant is not None:
            more["grant"] = {"until": grant.until.isoformat()} if grant.until else {"task": True}
        self._decide(approval, {"decision": "approve", **more})

    def answer(self, approval: str, value: Any) -> None:
        self._decide(approval, {"decision": "answer", "answer": value})

    def reject(self, approval: str, *, comment: str = "") -> None:
        self._decide(approval, {"decision": "reject", "comment": comment})

    def revoke(self, grant: str, *, reason: str) -> None:
        self._post(f"/grants/{grant}/revoke", {"reason": reason})

    def _decide(self, approval: str, body: dict[str, Any]) -> None:
        self._post(f"/approvals/{approval}/decide", body)

    def _post(self, path: str, body: dict[str, Any]) -> None:
        answer = self._person.post(path, body)
        if answer.status_code != 200:
            raise Refused(answer.json()["detail"])

    def _results(self, path: str) -> list[dict[str, Any]]:
        return list(self._person.get(path).json()["results"])


class CommandLine:
    """Somebody with a shell on the installation."""

    def approvals(self, status: str = "open") -> list[dict[str, Any]]:
        return list(json.loads(self._hector("approvals", "--json", "--status", status)))

    def grants(self) -> list[dict[str, Any]]:
        return list(json.loads(self._hector("grants", "--json")))

    def approve(
        self, approval: str, *, comment: str = "", arguments: dict[str, Any] | None = None, grant: Terms | None = None
    ) -> None:
        given = [] if arguments is None else ["--arguments", json.dumps(arguments)]
        if grant is not None:
            given += ["--until", grant.until.isoformat()] if grant.until else ["--for-task"]
        self._hector("approve", approval, "--comment", comment, *given)

    def answer(self, approval: str, value: Any) -> None:
        self._hector("approve", approval, "--answer", json.dumps(value))

    def reject(self, approval: str, *, comment: str = "") -> None:
        self._hector("reject", approval, "--comment", comment)

    def revoke(self, grant: str, *, reason: str) -> None:
        self._hector("revoke", grant, "--reason", reason)

    def _hector(self, *arguments: str) -> str:
        out, err = StringIO(), StringIO()
        try:
            call_command(*arguments, "--app", "acme", stdout=out, stderr=err)
        except SystemExit as ended:
            assert ended.code == 1
            raise Refused(err.getvalue()) from None
        return out.getvalue()


Surface = Api | CommandLine
SURFACES: list[Callable[[], Surface]] = [Api, CommandLine]
