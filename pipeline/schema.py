"""What the report knows of the pipeline: names, words and order of its kinds, its configuration and its limits.

    python -m pipeline.schema        writes analysis/tables/schema.json anew (`make schema`)

`analysis` imports nothing of the pipeline; it reads this file, which is shipped with it. The tables in it are written
by hand, and so is the order of what comes in kinds: a kind has the colour of its place, so a new one comes after those
that are there. All else is filled in here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, get_args

from pydantic import BaseModel

from pipeline.calibration.rows import TOLERANCE_ULPS
from pipeline.calibration.table import LIMIT
from pipeline.config import ModelConfig, TrialConfig, flatten
from pipeline.evaluation.latent_space import CAP_MARGIN
from pipeline.probability.bounds import BOUNDS
from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.probability.schemes.registry import SCHEMES
from pipeline.variance.quantities import STUDIED

SCHEMA = Path(__file__).parents[1] / "analysis" / "tables" / "schema.json"


Kinds = dict[str, list[dict[str, str]]]


class _Kind(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The schema with all that follows from the pipeline filled in, its keys in their order."""
    variance = document["tables"]["variance"]["columns"]
    variance["quantity"]["about"] = f"what is estimated: {', '.join(STUDIED)}"
    variance["sampling"]["values"] = list(SCHEMES)
    generated: dict[str, Any] = {
        "configuration": _configuration(document["configuration"]["about"]),
        "kinds": _in_place(kinds(), document.get("kinds", {})),
        "limits": {"calibration_z": LIMIT, "calibration_ulps": TOLERANCE_ULPS, "information_margin": CAP_MARGIN},
    }
    kept = {key: value for key, value in document.items() if key not in {*generated, "tables"}}
    return {**kept, **generated, "tables": document["tables"]}


def kinds() -> Kinds:
    """Names and words of everything that comes in kinds, by the key that chooses it."""
    return {
        "kl.estimator": _worded(KL_ESTIMATORS.values()),
        "gradient.estimator": _worded(GRADIENT_ESTIMATORS.values()),
        "objective.sampling": _worded(SCHEMES.values()),
        "objective.name": _worded(BOUNDS[name] for name in _names(TrialConfig, "objective")),
        **{
            f"model.{key}.name": [{"name": name, "label": name} for name in _names(ModelConfig, key)]
            for key in ("posterior", "prior", "likelihood", "network")
        },
        "quantity": _worded(STUDIED.values()),
    }


def _in_place(entries: Kinds, shipped: Kinds) -> Kinds:
    """The entries in the shipped order, new ones last."""
    placed = {}
    for key, listed in entries.items():
        by_name = {entry["name"]: entry for entry in listed}
        order = [entry["name"] for entry in shipped.get(key, []) if entry["name"] in by_name]
        placed[key] = [by_name[name] for name in dict.fromkeys([*order, *by_name])]
    return placed


def _worded(kinds: Iterable[_Kind]) -> list[dict[str, str]]:
    return [{"name": kind.name, "label": kind.label} for kind in kinds]


def _names(model: type[BaseModel], key: str) -> list[str]:
    """The names of a key's variants, in the order in which messages say them."""
    return [variant.model_fields["name"].default for variant in get_args(model.model_fields[key].annotation)]


def _configuration(about: str) -> dict[str, Any]:
    """Columns of `trials` that hold the configuration; metrics start with `variance.` too, so its keys are listed."""
    sections = [key for key in TrialConfig.model_fields if isinstance(getattr(TrialConfig(), key), BaseModel)]
    shared = {"variance"}
    leaves = [key for key in flatten(TrialConfig()) if key.partition(".")[0] not in set(sections) - shared]
    return {"sections": [key for key in sections if key not in shared], "leaves": leaves, "about": about}


def rendered(value: Any, indent: str = "") -> str:
    """JSON with one line for each innermost mapping."""
    inner = indent + "  "
    if isinstance(value, dict) and any(_holds_mappings(content) for content in value.values()):
        lines = [f"{inner}{json.dumps(key)}: {rendered(content, inner)}" for key, content in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and _holds_mappings(value):
        return "[\n" + ",\n".join(inner + rendered(item, inner) for item in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)


def _holds_mappings(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def main() -> None:
    """Write the schema anew."""
    document = complete(json.loads(SCHEMA.read_text(encoding="utf-8")))
    SCHEMA.write_text(rendered(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
