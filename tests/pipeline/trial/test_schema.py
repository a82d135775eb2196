"""The schema that is shipped with the report is the one that the pipeline would write."""

from __future__ import annotations

import json

from pipeline.calibration.table import LIMIT
from pipeline.config import TrialConfig, flatten
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.trial import schema
from pipeline.variance.gradients import SAMPLED_PATHWISE
from pipeline.variance.quantities import STUDIED


def test_the_shipped_file_is_current() -> None:
    """If not: `make schema`."""
    text = schema.SCHEMA.read_text(encoding="utf-8")
    assert text == schema.rendered(schema.complete(json.loads(text))) + "\n"


def test_what_is_left_out_or_outdated_is_filled_in() -> None:
    document = json.loads(schema.SCHEMA.read_text(encoding="utf-8"))
    broken = {**document, "limits": {}, "configuration": {**document["configuration"], "leaves": ["gone"]}}
    del broken["kinds"]
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
    assert {entry["name"] for entry in kinds["quantity"]} == set(STUDIED)
    estimators = [kl.elbo or kl.quantity for kl in KL_ESTIMATORS.values()]
    first = [entry["name"] for entry in kinds["quantity"][: len(estimators)]]
    assert first == [words.name for words in estimators if words], "each has the place of its KL estimator"
    assert SAMPLED_PATHWISE.name in [entry["name"] for entry in kinds["gradients.estimator"]]
    assert schema.complete(json.loads(schema.SCHEMA.read_text()))["limits"] == {"calibration_z": LIMIT}
