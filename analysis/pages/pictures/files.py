"""The picture files of a trial: which there are, of what kind, in which order, how large and under which caption."""

from __future__ import annotations

import re
import struct
from pathlib import Path

KINDS = {
    "samples": "z from the prior, then a draw of every pixel, from the same noise at every epoch.",
    "reconstructions": "Reconstructions: a row of test images, below it the decoder's means at one draw of z each.",
    "manifold": "Manifold: the decoder's means over a grid of equally probable z.",
    "traversals": "Traversals: each row moves one latent dimension from the prior's 5th to its 95th percentile; the "
    "rows that change most come first.",
}
DRAWN_ANEW = "training"
"""The curves of a trial are a picture beside its results; here they are a figure."""


def folder(sweep: Path, trial: int) -> Path:
    """The folder of a trial of a sweep."""
    return sweep / "trials" / f"{trial:04d}"


def of_trial(sweep: Path, trial: int) -> list[Path]:
    """The PNG files of a trial, samples over training in order of their epoch."""
    paths = (folder(sweep, trial) / "pictures").glob("*.png")
    kept = (path for path in paths if kind(path) != DRAWN_ANEW and _size(path))
    return sorted(kept, key=lambda path: (_kind_order(path), _natural(path.stem)))


def kind(path: Path) -> str:
    """What a picture shows, from its name: `samples_epoch_0010.png` -> `samples`."""
    return re.split(r"[._\-\d]", path.stem, maxsplit=1)[0] or path.stem


def _kind_order(path: Path) -> int:
    """The kinds in the order of KINDS, others after them."""
    return list(KINDS).index(kind(path)) if kind(path) in KINDS else len(KINDS)


def _natural(text: str) -> list[tuple[bool, int, str]]:
    """`epoch_2` before `epoch_10`, and what has a number before what has none (`samples_0` ... `samples_final`)."""
    parts = re.split(r"(\d+)", text)
    return [
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part not in ("", "_", "-")
    ]


def caption(path: Path) -> str:
    """The file's name in words: `samples epoch 10`."""
    words = re.sub(r"[_\-]+", " ", path.stem)
    return re.sub(r"\b0+(\d)", r"\1", words)


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height from the file's header; None for a file that is not a PNG."""
    with path.open("rb") as file:
        head = file.read(24)
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", head[16:24])
    return (width, height) if width and height else None


def width(path: Path, most: int) -> int:
    """CSS pixels: small pictures are enlarged by a whole factor, large ones are reduced."""
    pixels = (_size(path) or (most, most))[0]
    return pixels * max(1, min(4, most // pixels)) if pixels <= most else most
