"""What a drawing function is told: an axis (`Axis`), and the lines that share it with their look (`Series`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.figures import theme

Style = dict[str, Any]
"""matplotlib's line properties: color, marker, linestyle."""


@dataclass(frozen=True)
class Axis:
    """One axis of a figure: the column that it shows, its label, and its scale."""

    column: str
    label: str
    log: bool = False
    """Logarithmic. On y only where the values span a factor of 8 or more."""
    reach: float | None = None
    """A value that the axis must include, whatever the data are."""


@dataclass(frozen=True)
class Series:
    """The column that tells the lines of a figure apart, and how each line looks."""

    column: str
    styles: Mapping[str, Style]
    """Value of the column -> its look, in the order of the legend."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Value of the column -> what the legend says of it, where that is more than the value itself."""

    def text(self, name: str) -> str:
        """What the legend says."""
        return self.texts.get(name, name)


def styles(keys: Sequence[tuple[object, ...]], kind: str | None = None) -> dict[tuple[object, ...], Style]:
    """Colour by the first part of each key, marker and dash by the rest: colour is never the only difference.

    Args:
        keys: What sets each line apart, for example (KL estimator, L).
        kind: What the first part is one of (`kl.estimator`), so that it has its own colour on every page; None: colours
            in the order of the keys.
    """
    firsts = list(dict.fromkeys(key[0] for key in keys))
    seconds = list(dict.fromkeys(key[1:] for key in keys))
    colours = dict(zip(firsts, theme.colours(firsts, kind)))
    return {
        key: {
            "color": colours[key[0]],
            "marker": theme.MARKERS[seconds.index(key[1:]) % len(theme.MARKERS)],
            "linestyle": theme.LINES[seconds.index(key[1:]) % len(theme.LINES)],
        }
        for key in keys
    }


def marked(names: Sequence[str], kind: str | None = None, keys: Sequence[object] | None = None) -> dict[str, Style]:
    """Solid lines that differ in colour and marker.

    Args:
        names: The lines, in the order of the legend.
        kind: What the lines are one of (`quantity`); None: colours in the order of the names.
        keys: What the schema calls each line (default: its name).
    """
    colours = theme.colours(names if keys is None else keys, kind)
    return {
        name: {"color": colour, "marker": theme.MARKERS[place % len(theme.MARKERS)], "linestyle": "-"}
        for place, (name, colour) in enumerate(zip(names, colours))
    }
