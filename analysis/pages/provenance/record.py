"""Where the numbers come from: `sweep.json`, seeds, and the specification with every default filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.document.blocks import Block, Code, Heading, Note, Table
from analysis.tables import Sweep


def blocks(sweep: Sweep) -> list[Block]:
    """What the sweep wrote down about itself, the seeds of its replicates, and the specification in full."""
    info = {key: value for key, value in sweep.info.items() if key != "spec"}
    rows = pd.DataFrame(_leaves(info), columns=["key", "value"])
    shown = pd.DataFrame([(key, _short(value)) for key, value in info.items()], columns=["key", "value"])
    seeds = _seeds(sweep)
    blocks: list[Block] = [Heading("Where the numbers come from", folded=True)]
    blocks.append(Table("provenance", rows, "What the sweep wrote down about itself (sweep.json).", 400, shown))
    if not seeds.empty:
        blocks.append(Table("seeds", seeds, "The seed of every replicate, by the trials that used it.", rows=12))
    spec = sweep.info.get("spec")
    title = "The specification, with every default filled in."
    blocks.append(Code(_yaml(spec).rstrip(), title) if spec else Note("sweep.json holds no specification."))
    return blocks


def _short(value: Any) -> str:
    """One line for each entry of sweep.json: `python 3.11.7, torch 2.14.1, ...`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text or 'none'}" for key, text in _leaves(value))
    return f"{value:.1f}" if isinstance(value, float) else _leaves(value)[0][1]


def _seeds(sweep: Sweep) -> pd.DataFrame:
    """The seed of each replicate, and which trials used it."""
    if sweep.replicates.empty:
        return pd.DataFrame()
    grouped = sweep.replicates.groupby(["replicate", "seed"], as_index=False)
    return grouped.agg(trials=("trial", "count"), first_trial=("trial", "min"), last_trial=("trial", "max"))


def _leaves(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Dotted leaves of a tree, a short list in one cell."""
    if isinstance(value, Mapping) and value:
        return [
            leaf for key, child in value.items() for leaf in _leaves(child, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list):
        plain = all(not isinstance(item, (list, Mapping)) for item in value)
        return [(prefix, " ".join(map(str, value)) if plain else json.dumps(value))]
    return [(prefix, "" if value is None else str(value))]


def _yaml(value: Any, depth: int = 0) -> str:
    """A tree as YAML. Scalars are written as JSON, which YAML reads; that keeps a YAML library out of the report."""
    pad = "  " * depth
    if isinstance(value, Mapping):
        lines = []
        for key, child in value.items():
            nested = isinstance(child, Mapping) and len(child) > 0
            text = f"\n{_yaml(child, depth + 1)}" if nested else f" {json.dumps(child, ensure_ascii=False)}\n"
            lines.append(f"{pad}{key}:{text}")
        return "".join(lines)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}\n"
