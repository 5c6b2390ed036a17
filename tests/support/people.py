"""People who decide."""

from __future__ import annotations

from apps.accounts.permissions import Caller, Role


def person(name: str, role: Role = Role.APPROVER) -> Caller:
    return Caller(name, role)


ANNA, OTTO, BERT = person("anna"), person("otto"), person("bert")
