"""What is wrong with a document, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One sentence about one place. `pointer` is an RFC 6901 JSON pointer; `line` is known where the text was YAML."""

    pointer: str
    detail: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.pointer or 'document'}: {self.detail}"


class ConfigInvalid(Exception):
    """The document cannot be applied; `faults` says everything that is wrong with it."""

    code = "config_invalid"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(set(faults), key=lambda fault: (fault.line or 0, fault.pointer, fault.detail))
        super().__init__("\n".join(map(str, self.faults)))
