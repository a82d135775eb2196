"""Where a link may lead: one anchor for each heading, figure, table and term of a page, never two alike."""

from __future__ import annotations

import re

LONGEST = 48
"""Characters of an anchor that is made of a heading."""


class Anchors:
    """Hands out anchors, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, wanted: str) -> str:
        """An anchor that reads like `wanted`; with a number where another has it already."""
        plain = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:LONGEST].rstrip("-") or "part"
        name, number = plain, 2
        while name in self._taken:
            name, number = f"{plain}-{number}", number + 1
        self._taken.add(name)
        return name
