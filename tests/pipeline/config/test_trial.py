from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import ConfigError, TrialConfig, config_hash, flatten, load, override, parse, read_yaml
from pipeline.config.errors import CHOICES


def one_line(tree: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(tree, "trial.yaml")
    message = str(caught.value)
    assert "\n" not in message
    return message


IWAE = {"name": "iwae", "num_importance_samples": 4}
GAUSSIAN = {"name": "gaussian"}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"mdel": 1}, "trial.yaml: mdel: unknown key, got 1"),
        ({"model": 3}, "trial.yaml: model: must be a mapping of keys to values, got 3"),
        ({"model": {"latent_dim": 0}}, "trial.yaml: model.latent_dim: must be at least 1, got 0"),
        ({"model": {"latent_dim": "x"}}, "model.latent_dim: must be an integer, got 'x'"),
        ({"model": {"latent_dim": 1.5}}, "model.latent_dim: must be an integer, got 1.5"),
        ({"model": {"latent_dim": {"a": 1}}}, "model.latent_dim: must be an integer, got {'a': 1}"),
        ({"model": {"latent_dim": None}}, "model.latent_dim: must be an integer, got null"),
        ({"model": {"network": 3}}, "model.network: must be a name, or a mapping of keys to values, got 3"),
        ({"model": {"network": {"hidden": 3}}}, "model.network.hidden: must be a list, got 3"),
        ({"model": {"network": {"hidden": []}}}, "model.network.hidden: needs at least 1 item, got []"),
        ({"model": {"network": {"hidden": [-1]}}}, "model.network.hidden.0: must be at least 1, got -1"),
        ({"model": {"network": {"hidden": [8, True]}}}, "model.network.hidden.1: must be an integer, got 'true'"),
        ({"evaluation": {"pictures": 3}}, "evaluation.pictures: must be true or false, got 3"),
        ({"training": {"learning_rate": "e"}}, "training.learning_rate: must be a number, got 'e'"),
        ({"training": {"learning_rate": "5e1"}}, "at most 10, got '5e1' (text to YAML: write 5.0e+1)"),
        ({"seed": 2**63}, "seed: must be below 9223372036854775808, got 9223372036854775808"),
        ({"evaluation": {"num_samples": 10**30}}, "evaluation.num_samples: must be at most 10000000, got 1"),
        ({"data": {"name": 3}}, "data.name: must be text, got 3"),
        ({"model": {"network": "mlpp"}}, "model.network: must be one of 'mlp', 'cnn', 'linear', got 'mlpp'"),
        ({"model": {"network": {"name": "mlp", "channels": 8}}}, "model.network.channels: unknown key, got 8"),
        ({"data": {"name": "minst"}}, "name must be one of digits, mnist"),
        ({"data": {"levels": 1}}, "data.levels: must be at least 2, got 1"),
        ({"data": {"levels": 257}}, "data.levels: must be at most 256, got 257"),
        ({"objective": {"num_samples": 0}}, "objective.num_samples: must be at least 1, got 0"),
        ({"objective": IWAE | {"num_importance_samples": 0}}, "num_importance_samples: must be at least 1, got 0"),
        ({"objective": IWAE | {"beta": 2.0}}, "objective.beta: unknown key, got 2.0"),
        ({"objective": {"beta": -0.1}}, "objective.beta: must be at least 0, got -0.1"),
        ({"objective": {"beta": 1e300}}, "objective.beta: must be at most 1000000, got 1e+300"),
        ({"objective": {"free_bits": 1e300}}, "objective.free_bits: must be at most 1000000, got 1e+300"),
        ({"model": {"likelihood": GAUSSIAN | {"scale": 1e-20}}}, "likelihood.scale: must be at least 1e-06, got 1e-20"),
        ({"model": {"likelihood": GAUSSIAN | {"scale": 1e20}}}, "likelihood.scale: must be at most 1000000, got 1e+20"),
        ({"model": {"likelihood": GAUSSIAN | {"scale": 0}}}, "likelihood.scale: must be at least 1e-06, got 0"),
        ({"objective": {"num_samples": 6, "sampling": "sobol"}}, "must be a power of two with"),
        ({"objective": {"num_samples": 3, "sampling": "antithetic"}}, "must be even with"),
        ({"kl": {"estimator": "closed"}}, "kl.estimator: must be one of 'closed_form', 'monte_carlo'"),
        ({"gradient": {"estimator": "dreg"}}, "'dreg' needs objective 'iwae', got 'elbo'"),
        ({"gradient": {"estimator": "score_function"}}, "'score_function' needs at least 2 draws"),
        ({"model": {"likelihood": "bernoulli"}}, "'bernoulli' and data.binarization 'static' or 'dynamic' go together"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate: must be"),
        ({"variance": {"num_samples": []}}, "variance.num_samples: "),
        ({"evaluation": {"num_importance_samples": []}}, "evaluation.num_importance_samples: "),
        ({"variance": {"draws": 64}}, "draws must be at least 4 times the largest of num_samples (128), got 64"),
        ({"variance": {"num_samples": [1, 6]}}, "num_samples must be powers of two with sampling 'sobol', got 6"),
        ({"variance": {"num_samples": [5], "sampling": ["antithetic"]}}, "1 or even with sampling 'antithetic', got 5"),
        ({"variance": {"gradient_repeats": 3}}, "variance.gradient_repeats: must be 0 or at least 4"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_with_key_rule_and_value(tree: dict[str, Any], message: str) -> None:
    assert message in one_line(tree)


@pytest.mark.parametrize("estimator", ["closed_form", "control_variate"])
@pytest.mark.parametrize(
    ("posterior", "prior"),
    [("gaussian", "mixture"), ("gaussian", "vamp"), ("flow", "standard_normal"), ("laplace", "flow")],
)
def test_a_closed_form_that_does_not_exist_is_refused_with_both_names(
    posterior: str, prior: str, estimator: str
) -> None:
    tree = {
        "model": {"posterior": posterior, "prior": prior},
        "kl": {"estimator": estimator},
        "objective": {"num_samples": 2},
    }
    message = one_line(tree)
    assert f"model.posterior {posterior!r} with model.prior {prior!r}" in message
    assert "'monte_carlo'" in message
    assert parse(tree | {"kl": {"estimator": "monte_carlo"}}).kl.estimator == "monte_carlo"


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [("gaussian", "standard_normal"), ("full_gaussian", "standard_normal"), ("laplace", "laplace")],
)
def test_a_closed_form_that_exists_is_accepted(posterior: str, prior: str) -> None:
    assert parse({"model": {"posterior": posterior, "prior": prior}}).kl.estimator == "closed_form"


def test_a_choice_may_be_a_plain_word_or_leave_its_name_out() -> None:
    config = parse({"model": {"network": "cnn", "posterior": {}}, "objective": {"num_samples": 4}})
    assert (config.model.network.name, config.model.posterior.name) == ("cnn", "gaussian")
    assert (config.objective.name, config.objective.num_samples) == ("elbo", 4)


def test_setting_another_choice_drops_the_options_of_the_old_one() -> None:
    tree = {"model": {"network": {"name": "mlp", "hidden": [8]}}, "data": {"name": "digits", "levels": 4}}
    merged = override(tree, {"model.network.channels": 16, "model.network.name": "cnn", "data.name": "mnist"})
    assert merged == {"model": {"network": {"name": "cnn", "channels": 16}}, "data": {"name": "mnist", "levels": 4}}
    assert tree["model"] == {"network": {"name": "mlp", "hidden": [8]}}


@given(st.integers(1, 4096), st.floats(1e-6, 1.0), st.lists(st.integers(1, 64), min_size=1, max_size=3))
def test_every_leaf_survives_flatten_and_override(latent_dim: int, learning_rate: float, hidden: list[int]) -> None:
    leaves = {"model.latent_dim": latent_dim, "training.learning_rate": learning_rate, "model.network.hidden": hidden}
    config = parse(override({}, leaves))
    assert leaves.items() <= flatten(config).items()
    assert parse(override({}, flatten(config))) == config


def test_the_hash_names_the_configuration_and_not_its_seeds() -> None:
    base = config_hash(TrialConfig())
    assert config_hash(parse({"seed": 5, "replicates": 9, "first_replicate": 3})) == base
    assert config_hash(parse({"model": {"latent_dim": 9}})) != base


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "must be a mapping of keys to values, got list"),
        ("a: 1\nb: [", "is not valid YAML: line 2: expected the node content, but found '<stream end>'"),
        ("a: !!python/none", "is not valid YAML"),
        ("a: 2026-13-45", "is not valid YAML: month must be"),
        ("a: &a {b: *a}", "is not valid YAML: Circular"),
        ("[" * 9999, "is not valid YAML"),
        ("a: 1\nb: 2\na: 3", "is not valid YAML: key 'a' must be given once, got it on lines 1 and 3"),
        ("a:\n- b: 1\n  c: {d: 1,\n d: 2}", "key 'd' must be given once, got it on lines 3 and 4"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trial.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "absent.yaml")


def test_merged_keys_are_not_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text("a: {x: &x {<<: &y {k: 1}, k: 2}}\nb: {<<: *x, k: 3}\nc: *y")
    assert read_yaml(path) == {"a": {"x": {"k": 2}}, "b": {"k": 3}, "c": {"k": 1}}


def test_no_number_is_written_as_a_truth_value() -> None:
    numbers = {key: value for key, value in flatten(TrialConfig()).items() if type(value) in (int, float)}
    assert "training.epochs" in numbers
    for key in [*numbers, "data.train_images", "training.gradient_clip", "evaluation.max_images"]:
        assert f"{key}: must be a" in one_line(override({}, {key: True}))
    assert parse({"evaluation": {"pictures": True}}).evaluation.pictures


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "trial.yaml"
    path.write_text("")
    assert load(path) == TrialConfig()


def test_messages_know_every_key_that_has_variants() -> None:
    trees = (TrialConfig, *(field.annotation for field in TrialConfig.model_fields.values()))
    fields = [tree.model_fields.items() for tree in trees if hasattr(tree, "model_fields")]
    assert {key for items in fields for key, field in items if field.discriminator} == CHOICES
