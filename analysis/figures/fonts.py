"""DejaVu Sans cut down to the characters of a report, so that a PDF can embed TrueType at little cost.

Journals refuse Type 3 fonts. TrueType (`pdf.fonttype` 42) makes matplotlib cut the font anew for every file, and to
read the 6,000 glyphs of DejaVu Sans takes longer than to draw a figure. The cut is made once and kept in
matplotlib's cache; a character that it lacks is drawn with the whole font.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

import matplotlib as mpl
from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib import font_manager

FAMILY, WHOLE = "elbosweep Sans", "DejaVu Sans"
CHARACTERS = (
    *range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x370, 0x400), *range(0x2010, 0x2040), *range(0x2070, 0x20A0),
    *range(0x2190, 0x21A0), *range(0x2200, 0x2270),
)  # fmt: skip
"""Latin, Greek, dashes and quotes, superscripts and subscripts, arrows, mathematical operators."""
NAMES = {1: FAMILY, 4: FAMILY, 6: FAMILY.replace(" ", ""), 16: FAMILY}
"""Entries of a font's table of names that hold its family."""


@cache
def families() -> list[str]:
    """The fonts of a figure, the first that has a character draws it; the small ones are made and registered first."""
    for weight in ("normal", "bold"):
        font_manager.fontManager.addfont(_cut(weight))
    return [FAMILY, WHOLE]


def _cut(weight: str) -> Path:
    """The file of a small font, made where it is not in the cache yet."""
    source = Path(font_manager.findfont(font_manager.FontProperties(family=WHOLE, weight=weight)))
    path = Path(mpl.get_cachedir()) / f"elbosweep-{mpl.__version__}-{weight}-{source.stat().st_size}.ttf"
    if not path.exists():
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            _reduced(source).save(file, reorderTables=False)
        os.replace(name, path)  # two reports at a time make the same bytes
    return path


def _reduced(source: Path) -> TTFont:
    """The font with the characters of a report and the family's own name."""
    font = TTFont(source, recalcTimestamp=False)
    options = subset.Options(glyph_names=True, recommended_glyphs=True, name_IDs=["*"])
    options.drop_tables += ["FFTM", "GSUB", "MATH"]
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=CHARACTERS)
    cutter.subset(font)
    for record in font["name"].names:
        if record.nameID in NAMES:
            record.string = NAMES[record.nameID]
    return font
