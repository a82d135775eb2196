"""Lists what comes in kinds in analysis/tables/schema.json, where the report finds names and labels.

python -m tests.documents.kinds     # or `make kinds`: after an estimator, a posterior, ... was added to pipeline

`analysis` imports nothing of `pipeline`, so the lists travel in a file. An entry keeps its place there, because places
decide the colours of the report; what is new comes at the end, what is gone leaves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from tests.documents.architecture import ROOT

FILE = ROOT / "analysis/tables/schema.json"
Labels = dict[str, dict[str, str]]
"""Key of the configuration, or column of a table -> name -> label."""


def registered() -> Labels:
    """Every kind as `pipeline` registers it. Objectives are labelled in capitals, parts of the model by their names."""
    from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
    from pipeline.probability.kl.registry import KL_ESTIMATORS
    from pipeline.probability.schemes.registry import SCHEMES
    from pipeline.variance.quantities import STUDIED
    from sweeps.specification.keys import leaves

    registries: dict[str, Mapping[str, object]] = {
        "kl.estimator": KL_ESTIMATORS,
        "gradient.estimator": GRADIENT_ESTIMATORS,
        "objective.sampling": SCHEMES,
        "quantity": STUDIED,
    }
    labelled = {key: {name: kind.label for name, kind in kinds.items()} for key, kinds in registries.items()}  # type: ignore[attr-defined]
    parts = [f"model.{part}.name" for part in ("posterior", "prior", "likelihood", "network")]
    names = {key: get_args(leaves()[key].annotation) for key in ("objective.name", *parts)}
    return labelled | {
        key: {name: name.upper() if key == "objective.name" else name for name in names[key]} for key in names
    }


def listed(text: str) -> Labels:
    """The kinds that a text of schema.json lists."""
    kinds = json.loads(text)["kinds"]
    return {key: {entry["name"]: entry["label"] for entry in entries} for key, entries in kinds.items()}


def updated(text: str, kinds: Labels) -> str:
    """The text of schema.json with these kinds: places are kept, all else stays as it is."""
    before, lists = listed(text), []
    for key in [*before, *(key for key in kinds if key not in before)]:
        names = [name for name in before.get(key, {}) if name in kinds[key]]
        names += [name for name in kinds[key] if name not in names]
        entries = [json.dumps({"name": name, "label": kinds[key][name]}, ensure_ascii=False) for name in names]
        rows = ",\n".join(f"      {entry}" for entry in entries)
        lists.append(f"    {json.dumps(key)}: [\n{rows}\n    ]")
    block = '  "kinds": {\n' + ",\n".join(lists) + "\n  }"
    text, count = re.subn(r'^  "kinds": \{\n.*?^  \}', lambda match: block, text, flags=re.S | re.M)
    if count != 1:
        raise ValueError(f"{FILE.name}: must hold 'kinds' once, got it {count} times")
    return text


def write(path: Path = FILE) -> None:
    """Bring the file up to date."""
    path.write_text(updated(path.read_text(encoding="utf-8"), registered()), encoding="utf-8")


if __name__ == "__main__":
    write()
    print(FILE.relative_to(ROOT))
