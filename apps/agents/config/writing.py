"""A document as YAML that a person likes to read, and that `reading` reads back as it was."""

from __future__ import annotations

from typing import Any

import yaml

from apps.agents.config.reading import CORE_RULES


def as_yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would take for something else, and writes out what occurs twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Lines as they are, and escapes where there is something that one cannot see."""
    lines = text.split("\n")
    style = '"' if not all(map(str.isprintable, lines)) else "|" if len(lines) > 1 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
for rule in CORE_RULES:
    _Dumper.add_implicit_resolver(*rule)
