"""A specification is checked completely before anything starts; every message names file, key, rule and value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import ConfigError, TrialConfig, flatten
from sweeps.specification.keys import leaves, unknown
from sweeps.specification.reading import SHIPPED, find, load, parse

SPACE = {"model.latent_dim": {"int": [2, 64], "log": True}}


def tree(**parts: Any) -> dict[str, Any]:
    return {"name": "test", **parts}


def searched(**space: Any) -> dict[str, Any]:
    return tree(space={key.replace("__", "."): value for key, value in space.items()}, search={"trials": 4})


def test_leaves_are_the_keys_of_a_flattened_configuration() -> None:
    assert set(flatten(TrialConfig())) <= set(leaves())


@pytest.mark.parametrize(
    ("key", "condition"),
    [
        ("objective.num_importance_samples", {"objective.name": {"iwae"}}),
        ("objective.beta", {"objective.name": {"elbo"}}),
        ("model.network.channels", {"model.network.name": {"cnn"}}),
        ("model.posterior.hidden", {"model.posterior.name": {"flow"}}),
        ("objective.num_samples", {}),
        ("model.network.name", {}),
        ("training.learning_rate", {}),
    ],
)
def test_a_key_knows_the_choices_it_exists_with(key: str, condition: dict[str, set[str]]) -> None:
    assert {name: set(tags) for name, tags in leaves()[key].only_with.items()} == condition


PLANTED: dict[str, Any] = {
    "data.levels": 4,
    "data.train_images": 100,
    "model.latent_dim": 5,
    "model.network.hidden": [7, 9],
    "model.posterior.name": "full_gaussian",
    "objective.name": "iwae",
    "objective.num_importance_samples": 3,
    "kl.estimator": "monte_carlo",
    "gradient.estimator": "dreg",
    "training.learning_rate": 0.5,
    "training.gradient_clip": None,
    "evaluation.pictures": False,
    "evaluation.num_importance_samples": [1, 2],
    "variance.sampling": ["iid"],
    "replicates": 2,
    "seed": 17,
}


def test_every_kind_of_key_arrives_in_the_trained_configuration() -> None:
    planted = {**PLANTED, "objective.num_samples": 2}
    spec = parse(tree(factors={key: [value] for key, value in planted.items()}))
    arrived = flatten(spec.trial({key: levels[0] for key, levels in spec.factors.items()}))
    assert {key: arrived[key] for key in planted} == planted


@pytest.mark.parametrize("key", sorted(set(leaves()) - {"first_replicate"}))
def test_every_leaf_can_be_a_factor_under_its_own_name(key: str) -> None:
    leaf = leaves()[key]
    name, tags = next(iter(leaf.only_with.items()), (key, frozenset()))
    base: dict[str, Any] = {name: sorted(tags)[0]} if tags else {}
    values = {"data.name": "digits", "data.binarization": "none", "model.likelihood.name": "categorical"}
    default = flatten(TrialConfig()).get(key)
    tried = [values.get(key), default, 2, 0.5, "iid", [2], True]
    value = next(value for value in tried if value is not None and _accepted(key, value))
    from pipeline.config import override

    spec = parse(
        tree(
            base=override({}, base | {"kl.estimator": "monte_carlo"} if key != "kl.estimator" else base),
            factors={key: [value]},
        )
    )
    assert flatten(spec.trial({key: spec.factors[key][0]}))[key] == leaf.canonical(value)


def _accepted(key: str, value: Any) -> bool:
    try:
        leaves()[key].canonical(value)
    except ValueError:
        return False
    return True


BOTH = {"validation.elbo": "max", "seconds.training": "min"}


def designed(**parts: Any) -> dict[str, Any]:
    return tree(**{"factors": {"model.latent_dim": [2, 4]}, "space": SPACE, "search": {"trials": 3}, **parts})


BAD: list[tuple[dict[str, Any], str]] = [
    (tree(name="../up", factors={"model.latent_dim": [2]}), r"name: .*got '\.\./up'"),
    (tree(fators={}), r"fators: unknown key \(did you mean 'factors'\?\), got \{\}"),
    (tree(search={"trails": 3}), r"search.trails: unknown key \(did you mean 'trials'\?\), got 3"),
    (tree(search={"sampler": "tpee"}), r"search.sampler: .*got 'tpee'"),
    (tree(search={"window": 0}), r"search.window: must be at least 1, got 0"),
    (tree(resources={"workers": 0}), r"resources.workers: must be at least 1, got 0"),
    (tree(base={"model": {"latnt_dim": 3}}), r"base.model.latnt_dim: unknown key .*'model.latent_dim'\?\), got 3"),
    (tree(base={"model": {"latent_dim": 0}}), r"base.model.latent_dim: must be at least 1, got 0"),
    (tree(base={"training": {"epochs": "many"}}), r"base.training.epochs: .*got 'many'"),
    (tree(base={"data": {"name": "minst"}}), r"base.data: name must be one of .*got 'minst'"),
    (tree(base={"objective": {"name": "iwae", "beta": 2}}), r"objective.beta: exists only with objective.name 'elbo'"),
    (tree(factors=SPACE), r"factors.model.latent_dim: must be a list, got \{"),
    (tree(resources="all"), r"resources: must be auto, or a mapping .*got 'all'"),
    (tree(resources={"gpus": 1.5}), r"resources.gpus: must be a whole number above 1, got 1.5"),
    (tree(), r"factors: nothing to run"),
    (tree(factors={"latent_dim": [2]}), r"factors.latent_dim: unknown key \(did you mean 'model.latent_dim'\?\)"),
    (tree(factors={"model.latent_dim": []}), r"factors.model.latent_dim: needs at least one value, got \[\]"),
    (tree(factors={"model.latent_dim": [2, 2.0]}), r"factors.model.latent_dim: values must be .*, got 2.0 twice"),
    (tree(factors={"model.latent_dim": [True]}), r"factors.model.latent_dim: must be an integer, got 'true'"),
    (tree(factors={"model.latent_dim": [1.5]}), r"factors.model.latent_dim: must be an integer, got 1.5"),
    (tree(factors={"model.network.hidden": [[0]]}), r"factors.model.network.hidden: must be at least 1, got 0"),
    (tree(factors={"training": [3]}), r"factors.training: is a section, not a key: name one of training.epochs,"),
    (tree(factors={"model.latent_dim": [5000]}), r"factors.model.latent_dim: must be at most 4096, got 5000"),
    (tree(factors={"model.network.channels": [8]}), r"channels: exists only with model.network.name 'cnn', got 'mlp'"),
    (tree(factors={"first_replicate": [1]}), r"factors.first_replicate: is set by the sweep itself"),
    (tree(space=SPACE), r"search.trials: must be at least 1 .*got 0"),
    (tree(factors={"model.latent_dim": [2]}, search={"trials": 3}), r"space: must not be empty .*got 3 trials"),
    (searched(model__network__name={"int": [2, 8]}), r"model.network.name: takes no numbers, .*choice, got \[2, 8\]"),
    (searched(model__network__hidden={"int": [2, 8]}), r"space.model.network.hidden: takes no numbers"),
    (tree(factors={"model": {"latent_dim": [2]}}), r"factors.model: is a section, not a key: name one of model.lat"),
    (searched(model__latnt_dim={"int": [2, 8]}), r"unknown key \(did you mean 'model.latent_dim'\?\), got \{'int': \["),
    (searched(model__latent_dim={"int": [0, 8]}), r"space.model.latent_dim: must be at least 1, got 0"),
    (searched(model__latent_dim={"int": [8, 2]}), r"space.model.latent_dim: the range is empty.*got \[8, 2\]"),
    (searched(model__latent_dim={"float": [1, 8]}), r"space.model.latent_dim: takes whole numbers"),
    (searched(model__latent_dim={"it": [1, 8]}), r"space.model.latent_dim.it: unknown key \(did you mean 'int'\?\)"),
    (searched(model__latent_dim={"int": [1, True]}), r"space.model.latent_dim.int.1: must be an integer, got 'true'"),
    (
        searched(training__learning_rate={"float": ["1e-3"]}),
        r"float: must be a list of two numbers, \[low, high\], got \['1e-3'\] \(text to YAML: write 1.0e-3\)$",
    ),
    (searched(model__latent_dim={}), r"space.model.latent_dim: needs exactly one of int, float, choice, got none"),
    (searched(model__latent_dim={"choice": []}), r"space.model.latent_dim.choice: needs at least 1 item, got \[\]"),
    (searched(model__latent_dim={"choice": [2, 2]}), r"space.model.latent_dim: values must be different, got 2 twice"),
    (searched(training__learning_rate={"float": [0, 1], "log": True}), r"log needs a range above 0, got \[0.0, 1.0\]"),
    (searched(model__latent_dim={"int": [1, 9], "log": True, "step": 2}), r"step and log exclude each other"),
    (
        searched(model__latent_dim={"int": [1, 9], "when": {"objective.nam": "iwae"}}),
        r"when.objective.nam: unknown key \(did you mean 'objective.name'\?\)",
    ),
    (
        searched(model__latent_dim={"int": [1, 9], "when": {"objective.name": "iwae"}}),
        r"space.model.latent_dim: exists only with objective.name 'iwae', got 'elbo'",
    ),
    (
        searched(model__prior__name={"choice": ["flow", "standard_normal"]}),
        r"space: 1 of 2 combinations are invalid: kl.estimator 'closed_form' needs .*'flow'.*`when`",
    ),
    (
        tree(factors={"objective.sampling": ["sobol"], "objective.num_samples": [3, 4]}),
        r"factors: 1 of 2 combinations are invalid: objective.num_samples must be a power of two.*got 3",
    ),
    (tree(factors={"seed": [*range(100)], "model.latent_dim": [*range(1, 100)]}), r"factors: at most 5000 .*9900"),
    (tree(factors={"seed": [1]}, confirm={"replicates": 2}), r"confirm.by: must be a key of factors or space"),
    (designed(search={"trials": 3, "metric": "validation.elb"}), r"search.metric: .*mean 'validation.elbo'\?\), got"),
    (designed(search={"trials": 3, "metric": "test.elbo"}), r"search.metric: must not choose by the split that judges"),
    (designed(search={"trials": 3, "objectives": {"seconds.trainin": "min"}}), r"search.objectives: unknown metric"),
    (designed(search={"trials": 3, "objectives": BOTH, "mode": "min"}), r"search: mode must be left out .*got 'min'"),
    (designed(search={"trials": 3, "objectives": {}}), r"search: objectives must name a metric, or be left out, got"),
    (designed(search={"objectives": {"validation.elbo": "up"}}), r"objectives.validation.elbo: must be one of .*'up'"),
    (designed(search={"trials": 3, "metric": "elbow"}, stopping={"min_epochs": 3}), r"unknown metric .*got 'elbow'"),
    (designed(search={"trials": True}), r"search.trials: must be an integer, got 'true'"),
    (designed(search={"trials": 3, "window": True}), r"search.window: must be an integer, got 'true'"),
    (designed(stopping={"min_epochs": True}), r"stopping.min_epochs: must be an integer, got 'true'"),
    (designed(resources={"gpus": True}), r"resources.gpus: must be a number, got 'true'"),
    (designed(confirm={"by": "nonsense"}), r"confirm.by: unknown key, got 'nonsense'"),
    (designed(retries={}), r"retries: must be an integer, got \{\}"),
    (designed(retries=1.5), r"retries: must be an integer, got 1.5"),
    ({}, r"my.yaml: is empty: must have a name, and factors or a space"),
    (designed(search={"trials": 3, "objectives": BOTH, "sampler": "cmaes"}), r"search.sampler: takes one objective"),
    (designed(search={"trials": 3, "storage": "study.db"}), r"search.storage: must be a sqlite://.*got 'study.db'"),
    (designed(stopping={"min_epochs": 30}), r"stopping.min_epochs: must be below training.epochs \(30\), got 30"),
    (designed(search={"trials": 3, "metric": "variance.k1"}, stopping={"min_epochs": 3}), r"that every epoch has, got"),
    (designed(search={"trials": 3, "objectives": BOTH}, stopping={"min_epochs": 3}), r"needs a single objective"),
    (tree(factors={"seed": [1]}, stopping={"min_epochs": 3}), r"only suggested trials are stopped early"),
    (designed(base={"replicates": 1}, refine={"trials": 3}), r"refine.trials: an error bar needs .*at least 2, got 1"),
    (designed(refine={"trials": None}), r"refine.trials: null needs refine.target_standard_error, budget.trials or"),
    (designed(refine={"target_standard_error": 0.1}), r"refine.trials: must be at least 1, or null .*got 0"),
    (designed(refine={"trials": 3, "by": "seed"}), r"refine.by: must be a key of factors or space, got 'seed'"),
    (designed(budget={"hour": 1}), r"budget.hour: unknown key \(did you mean 'hours'\?\), got 1"),
    (designed(budget={"hours": 1e300}), r"budget.hours: must be at most 87600, got 1e\+300"),
    (designed(limits={"trial_minutes": 1e300}), r"limits.trial_minutes: must be at most 525600, got 1e\+300"),
    (designed(budget={"hours": 0}), r"budget.hours: must be above 0, got 0"),
    (designed(limits={"trial_minutes": -1}), r"limits.trial_minutes: must be above 0, got -1"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_bad_input_is_one_line_with_file_key_rule_and_value(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(bad, "my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("training.lr", "training.learning_rate"),
        ("lr", "training.learning_rate"),
        ("training.bs", "training.batch_size"),
        ("training.epoch", "training.epochs"),
        ("latent_dim", "model.latent_dim"),
        ("modl.latent_dm", "model.latent_dim"),
        ("training.latent_dim", "model.latent_dim"),
        ("latent", "model.latent_dim"),
        ("model.network.hiden", "model.network.hidden"),
        ("training.zebra", None),
    ],
)
def test_a_misspelt_key_gets_the_key_that_was_meant(key: str, meant: str | None) -> None:
    assert unknown(key) == "unknown key" + (f" (did you mean {meant!r}?)" if meant else "")


def test_a_short_list_is_told_in_full_where_nothing_is_alike() -> None:
    assert unknown("zebra", ["hours", "trials"]) == "unknown key (there are: hours, trials)"


def test_a_sampler_whose_package_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"search\.sampler: needs the package cmaes"):
        parse(tree(space=SPACE, search={"trials": 3, "sampler": "cmaes"}))


def test_values_are_kept_as_a_configuration_holds_them() -> None:
    spec = parse(tree(base={"training": {"epochs": "7"}}, factors={"training.learning_rate": ["1e-3", 1]}))
    assert spec.factors["training.learning_rate"] == (0.001, 1.0)
    assert spec.base["training"]["epochs"] == 7


def test_a_base_that_only_fits_with_the_factors_is_accepted() -> None:
    parse(tree(base={"model": {"prior": {"name": "flow"}}}, factors={"kl.estimator": ["monte_carlo"]}))


def test_conditions_come_before_what_depends_on_them() -> None:
    spec = parse(
        searched(
            objective__num_importance_samples={"int": [2, 8]},
            kl__estimator={"choice": ["closed_form", "monte_carlo"], "when": {"model.prior.name": "standard_normal"}},
            model__prior__name={"choice": ["standard_normal", "laplace"]},
            objective__name={"choice": ["elbo", "iwae"]},
        )
    )
    order = list(spec.parameters())
    assert order.index("objective.name") < order.index("objective.num_importance_samples")
    assert order.index("model.prior.name") < order.index("kl.estimator")
    assert spec.active("kl.estimator", {"model.prior.name": "standard_normal"})
    assert not spec.active("kl.estimator", {"model.prior.name": "laplace"})


def test_circular_conditions_are_refused() -> None:
    space = {
        "model.latent_dim": {"int": [1, 2], "when": {"data.levels": 4}},
        "data.levels": {"choice": [4, 8], "when": {"model.latent_dim": 1}},
    }
    with pytest.raises(ConfigError, match="circle"):
        parse(tree(space=space, search={"trials": 1}))


def test_written_specification_reads_back_equal() -> None:
    spec = parse(
        tree(
            factors={"kl.estimator": ["closed_form"], "model.network.hidden": [[8], [8, 8]]},
            space={**SPACE, "objective.num_samples": {"choice": [1, 4], "when": {"objective.name": ["elbo"]}}},
            search={"trials": 3},
            resources={"workers": 2},
        )
    )
    assert parse(yaml.safe_load(spec.written())) == spec


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_specifications_are_valid_and_named_by_their_file(path: Path) -> None:
    spec = load(path)
    assert spec.name == path.stem
    assert spec.description
    assert find(path.stem) == path


def test_an_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(ConfigError, match=r"default.*smoke"):
        find("defalt")
