"""Draws what the documents show of the house, from the house: the picture of the rooms, and a line for every file.

python -m tests.documents.architecture     # or `make architecture`: writes docs/architecture.md and README.md anew

The picture comes from import-linter's contracts in pyproject.toml, the lines of the files from the first sentence of
each module's docstring, the lines of the rooms from `ROOMS` below. Each stands between two markers in its document;
everything else there is written by hand and stays as it is.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

ROOMS = {
    "pipeline": "the science and the training of one trial; torch, but no Ray, Optuna, W&B or pandas",
    "pipeline/probability": "pure functions on tensors: distributions, KL estimators, bounds; knows no configuration",
    "pipeline/probability/kl": "the KL estimators, one class in one file each, and what all of them are",
    "pipeline/probability/gradients": "the gradient estimators, likewise",
    "pipeline/probability/schemes": "the sampling schemes, likewise",
    "pipeline/config": "what a trial is: its options and rules, read from YAML; imports no torch",
    "pipeline/data": "images: where they come from, how they are checked, downloaded and split",
    "pipeline/model": "the VAE and its parts: posteriors, priors, likelihoods, networks",
    "pipeline/training": "objectives, gradient estimators and the loop that trains the replicates of a trial",
    "pipeline/evaluation": "what is measured on trained weights: bounds, gaps, the latent space, evidence",
    "pipeline/variance": "the Monte Carlo variance of every estimator and of its gradient, and what a draw costs",
    "pipeline/calibration": "every estimator on a problem whose answer is known",
    "pipeline/trial": "one trial from its configuration to its folder of results; goes on where it was interrupted",
    "sweeps": "many trials: Ray Tune, Optuna, W&B, the record on disk, the command line",
    "sweeps/specification": "one YAML file describes a sweep; it is checked completely before anything starts",
    "sweeps/search": "which trial is next: the factorial part, Optuna's suggestions, refinement, confirmation",
    "sweeps/machine": "this machine: processors and GPUs, temporary folders, signals, time limits",
    "sweeps/tracking": "the copy of the record in Weights & Biases, offline or online",
    "sweeps/record": "the record on disk: ledger, tables, provenance; what is damaged, and whether all records agree",
    "sweeps/storage": "trials kept in object storage, for clusters without a shared disk",
    "sweeps/running": "a sweep as it runs: Ray, its workers, and what Tune asks and tells",
    "sweeps/cli": "the commands of `elbosweep`, one file for each group of them",
    "sweeps/specs": "the specifications that are shipped",
    "analysis": "tables -> report: pandas, seaborn, scipy; reads files and imports neither of the others",
    "analysis/tables": "the tables of a sweep: read, checked against the schema, joined",
    "analysis/statistics": "frames in, frames out: means, intervals, comparisons, plans",
    "analysis/statistics/draws": "what rests on draws: which are independent, what a scheme gains, the calibration",
    "analysis/statistics/few_seeds": "what three seeds can say: intervals, the headline, which D, what factors do",
    "analysis/figures": "one file for each kind of figure, and the theme that they share",
    "analysis/document": "what a page is made of, and how pages become HTML and Markdown",
    "analysis/pages": "the pages of the report, each in a folder or file of its own",
    "analysis/pages/overview": "page 1: the first screen, the answers, what is best",
    "analysis/pages/elbo_vs_dimension": "page 2: what another latent dimension buys",
    "analysis/pages/mc_variance": "page 3: what a Monte Carlo estimate costs, and how many draws are enough",
    "analysis/pages/pictures": "page 4: samples, reconstructions, manifolds, training curves",
    "analysis/pages/trials": "page 5: what was swept, every trial, the search, what it cost",
    "analysis/pages/provenance": "page 6: the calibration, and where the sweep's numbers come from",
}
"""One line for each wing, each of its rooms and each folder in a room."""


# --- the layers -----------------------------------------------------------------------------------------------------


@cache
def contracts() -> list[dict[str, Any]]:
    """Import-linter's contracts as pyproject.toml holds them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    loaded: list[dict[str, Any]] = settings["contracts"]
    return loaded


def layers() -> dict[str, list[list[str]]]:
    """Wing -> its layers from the top, each a list of rooms (or of files that stand beside the rooms)."""
    return {
        wing: [[name.strip(" ()") for name in re.split(r"[|:]", layer)] for layer in contract["layers"]]
        for contract in contracts()
        if contract["type"] == "layers"
        for wing in contract["containers"]
    }


def imports_of_wings() -> dict[str, list[str]]:
    """Wing -> the other wings that it may import: those that no contract forbids."""
    forbidden = {wing: set[str]() for wing in layers()}
    for contract in contracts():
        if contract["type"] == "forbidden":
            for wing in contract["source_modules"]:
                forbidden[wing] |= set(contract["forbidden_modules"])
    return {
        wing: [other for other in forbidden if other != wing and other not in names]
        for wing, names in forbidden.items()
    }


def picture() -> str:
    """The wings side by side, each a box with one row for each layer."""
    boxes = [_box(wing, rows) for wing, rows in layers().items()]
    widths = [len(box[0]) for box in boxes]
    lines = zip_longest(*boxes, fillvalue="")
    drawn = ["   ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    wings = [
        f"{wing} imports {' and '.join(others) if others else 'no other wing'}"
        for wing, others in imports_of_wings().items()
    ]
    return "\n".join(["```text", *drawn, "", *wings, "```"])


def _box(title: str, rows: list[list[str]]) -> list[str]:
    texts = [" | ".join(row) for row in rows]
    width = max(len(title), *map(len, texts))
    rule = "─" * (width + 2)
    lines = [title.ljust(width + 4), f"┌{rule}┐"]
    for text in texts:
        lines += [f"│ {text.ljust(width)} │", f"├{rule}┤"]
    return [*lines[:-1], f"└{rule}┘"]


def room_folders() -> list[Path]:
    """The wings, their rooms and the folders in these."""
    inner = [folder for wing in layers() for room in rooms(wing) for folder in [room, *_folders(room)]]
    return [*(ROOT / wing for wing in layers()), *inner]


def _folders(room: Path) -> list[Path]:
    return [path for path in sorted(room.iterdir()) if any(path.glob("*.py"))]


# --- the files ------------------------------------------------------------------------------------------------------


def rooms(wing: str) -> list[Path]:
    """The folders of a wing, from the bottom layer to the top; `sweeps/specs`, which holds no code, comes first."""
    order = [name for layer in reversed(layers()[wing]) for name in layer]
    folders = [path for path in (ROOT / wing).iterdir() if any(path.glob("*.py")) or any(path.glob("*.yaml"))]
    return sorted(folders, key=lambda path: (order.index(path.name) if path.name in order else -1, path.name))


def sources(folder: Path) -> list[Path]:
    """The Python files of a folder, without the empty `__init__`."""
    files = [path for path in sorted(folder.glob("*.py")) if path.stat().st_size]
    return sorted(files, key=lambda path: path.name != "__init__.py")


def first_sentence(path: Path) -> str:
    """The first sentence of a module's docstring.

    Raises:
        ValueError: the module has no docstring.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{path.relative_to(ROOT)}: must have a docstring, got none")
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0]


def files() -> str:
    """A tree of the three wings with a line for every room and every file."""
    lines: list[str] = []
    for wing in layers():
        lines += [_entry(f"{wing}/", ROOMS[wing], 0), *_tree(ROOT / wing, 1), ""]
    return "\n".join(["```text", *lines[:-1], "```"])


def _tree(folder: Path, depth: int) -> Iterator[str]:
    for path in sources(folder):
        yield _entry(path.name, first_sentence(path), depth)
    for room in rooms(folder.name) if depth == 1 else _folders(folder):
        yield _entry(f"{room.name}/", ROOMS[str(room.relative_to(ROOT))], depth)
        yield from _tree(room, depth + 1)


def _entry(name: str, line: str, depth: int) -> str:
    return f"{'  ' * depth}{name}".ljust(29) + f" {line}".rstrip()


def folder_map() -> str:
    """The wings and their rooms, one line each."""
    lines: list[str] = []
    for wing in layers():
        names = [wing, *(str(room.relative_to(ROOT)) for room in rooms(wing))]
        lines += [f"{'  ' * name.count('/')}{Path(name).name}/".ljust(18) + f" {ROOMS[name]}" for name in names]
    return "\n".join(["```text", *lines, "```"])


# --- the documents --------------------------------------------------------------------------------------------------

PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "docs/architecture.md": {"picture": picture, "files": files},
    "README.md": {"folders": folder_map},
}
"""Document -> the parts of it that are drawn here, by the name in their markers."""


def drawn(document: str) -> str:
    """The text of a document with its parts drawn anew."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for name, draw in PARTS[document].items():
        pattern = rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)"
        text, count = re.subn(pattern, lambda match, draw=draw: f"{match[1]}{draw()}\n{match[2]}", text, flags=re.S)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"{document}: must hold the markers of {name!r} once, got them {count} times")
    return text


if __name__ == "__main__":
    for document in PARTS:
        (ROOT / document).write_text(drawn(document), encoding="utf-8")
        print(document)
