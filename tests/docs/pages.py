"""The README and the pages of docs/, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.installation import ROOT

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FILE = re.compile(r"# ([\w.-]+\.(?:yaml|py))$")


@dataclass(frozen=True)
class Block:
    """What stands between two lines of backticks."""

    kind: str
    text: str
    place: str  # page:line

    @property
    def file(self) -> str | None:
        """The file that it is the content of: its first line is a comment with the name."""
        named = _FILE.match(self.text.partition("\n")[0])
        return named[1] if named else None


@dataclass(frozen=True)
class Page:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def blocks(self, *kinds: str) -> list[Block]:
        """The blocks of these kinds, all if none is given."""
        found = []
        for match in _FENCE.finditer(self.text):
            place = f"{self.name}:{self.text.count(chr(10), 0, match.start()) + 1}"
            found.append(Block(match[1], match[2], place))
        return [block for block in found if not kinds or block.kind in kinds]

    @property
    def prose(self) -> str:
        return _FENCE.sub("", self.text)

    def spans(self) -> list[str]:
        """What stands between backticks within a line."""
        return _SPAN.findall(self.prose)

    def anchors(self) -> set[str]:
        """The headings' addresses, as GitHub makes them."""
        headings = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(self.prose)]
        return {heading.replace(" ", "-") for heading in headings}


PAGES = [Page(ROOT / "README.md"), *(Page(path) for path in sorted((ROOT / "docs").glob("*.md")))]


def page(name: str) -> Page:
    return next(found for found in PAGES if found.name == name)
