"""What the report knows of the pipeline: names, words and order of its kinds, its configuration and its limits.

    python -m pipeline.trial.schema        writes analysis/tables/schema.json anew (`make schema`)

`analysis` imports nothing of the pipeline; it reads this file, which is shipped with it. The tables in it are written
by hand, all else is filled in here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, get_args

from pydantic import BaseModel

from pipeline.calibration.table import LIMIT
from pipeline.config import ModelConfig, TrialConfig, flatten
from pipeline.probability.bounds import BOUNDS
from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.probability.schemes.registry import SCHEMES
from pipeline.variance.gradients import SAMPLED_PATHWISE
from pipeline.variance.quantities import STUDIED, Studied

SCHEMA = Path(__file__).parents[2] / "analysis" / "tables" / "schema.json"


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
    generated = {"configuration": _configuration(document["configuration"]["about"])}
    generated |= {"kinds": kinds(), "limits": {"calibration_z": LIMIT}}
    kept = {key: value for key, value in document.items() if key not in {*generated, "tables"}}
    return {**kept, **generated, "tables": document["tables"]}


def kinds() -> dict[str, list[dict[str, str]]]:
    """Names and words of everything that comes in kinds, by the key that chooses it, in the order of legends."""
    gradients = [*_worded(GRADIENT_ESTIMATORS.values())]
    return {
        "kl.estimator": _worded(KL_ESTIMATORS.values()),
        "gradient.estimator": gradients,
        "gradients.estimator": [*gradients[:1], dict(SAMPLED_PATHWISE._asdict()), *gradients[1:]],
        "objective.sampling": _worded(SCHEMES.values()),
        "objective.name": _worded(BOUNDS[name] for name in _names(TrialConfig, "objective")),
        **{
            f"model.{key}.name": [{"name": name, "label": name} for name in _names(ModelConfig, key)]
            for key in ("posterior", "prior", "likelihood", "network")
        },
        "quantity": _worded(_quantities()),
    }


def _quantities() -> list[Studied]:
    """First one quantity of each KL estimator, so that it has the estimator's place and colour; then other bounds."""
    of_estimators = [kl.elbo or kl.quantity for kl in KL_ESTIMATORS.values()]
    first = [words.name for words in of_estimators if words]
    others = sorted((name for name in STUDIED if name not in first), key=lambda name: name not in BOUNDS)
    return [STUDIED[name] for name in (*first, *others)]


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
    """JSON with one line for each innermost mapping, and for each list."""
    if not isinstance(value, dict) or not any(_has_mapping(inner) for inner in value.values()):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + "  "
    lines = [f"{inner}{json.dumps(key)}: {rendered(content, inner)}" for key, content in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _has_mapping(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def main() -> None:
    """Write the schema anew."""
    document = complete(json.loads(SCHEMA.read_text(encoding="utf-8")))
    SCHEMA.write_text(rendered(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
