"""The schema that is shipped with the report is the one that the pipeline would write."""

from __future__ import annotations

import json

from pipeline import schema
from pipeline.calibration.rows import TOLERANCE_ULPS
from pipeline.calibration.table import LIMIT
from pipeline.config import TrialConfig, flatten
from pipeline.evaluation.latent_space import CAP_MARGIN
from pipeline.variance.quantities import STUDIED


def test_the_shipped_file_is_current() -> None:
    """If not: `make schema`."""
    text = schema.SCHEMA.read_text(encoding="utf-8")
    assert text == schema.rendered(schema.complete(json.loads(text))) + "\n"


def test_what_is_left_out_or_outdated_is_filled_in() -> None:
    document = json.loads(schema.SCHEMA.read_text(encoding="utf-8"))
    broken = {**document, "limits": {}, "configuration": {**document["configuration"], "leaves": ["gone"]}}
    broken["kinds"] = {key: [{"name": entry["name"], "label": ""} for entry in entries]
                       for key, entries in document["kinds"].items()}  # fmt: skip
    broken["tables"]["variance"]["columns"]["sampling"]["values"] = ["iid"]
    assert json.dumps(schema.complete(broken)) == json.dumps(json.loads(schema.SCHEMA.read_text(encoding="utf-8")))


def test_every_kind_of_a_default_trial_has_words() -> None:
    """Whatever a configuration or a table can say stands in the schema, once."""
    kinds = schema.kinds()
    chosen = flatten(TrialConfig())
    for key, entries in kinds.items():
        names = [entry["name"] for entry in entries]
        assert len(set(names)) == len(names)
        assert all(entry["label"] for entry in entries)
        if key in chosen:
            assert chosen[key] == names[0], "the first is the default"
    assert [entry["name"] for entry in kinds["quantity"]] == list(STUDIED)
    limits = schema.complete(json.loads(schema.SCHEMA.read_text(encoding="utf-8")))["limits"]
    assert limits == {
        "calibration_z": LIMIT,
        "calibration_ulps": TOLERANCE_ULPS,
        "information_margin": CAP_MARGIN,
    }


def test_a_kind_keeps_its_place_and_a_new_one_comes_last() -> None:
    """A kind has the colour of its place."""
    document = json.loads(schema.SCHEMA.read_text(encoding="utf-8"))
    shipped = [entry["name"] for entry in document["kinds"]["kl.estimator"]]
    document["kinds"]["kl.estimator"] = [
        {"name": "gone", "label": "gone"},
        *({"name": name, "label": "?"} for name in (*shipped[:1], *shipped[2:])),
    ]
    completed = schema.complete(document)["kinds"]["kl.estimator"]
    assert [entry["name"] for entry in completed] == [*shipped[:1], *shipped[2:], shipped[1]]
    assert "?" not in [entry["label"] for entry in completed]
