"""A replicate that is trained in a stack equals its solo run, whatever the model, up to the order of sums."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from pipeline.config import ConfigError, TrialConfig, parse
from pipeline.data.images import ImageData, load
from pipeline.training.fused import clipped
from pipeline.training.loop import Training

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"model": {"network": {"name": "mlp", "hidden": [16]}}},
    "cnn": {"model": {"network": {"name": "cnn", "channels": 4}}},
    "linear": {"model": {"network": {"name": "linear"}, "likelihood": {"name": "gaussian", "learn_scale": True}}},
    "k1": {"kl": {"estimator": "monte_carlo"}, "objective": {"num_samples": 3, "kl_warmup_epochs": 2}},
    "control variate": {"kl": {"estimator": "control_variate"}, "objective": {"num_samples": 2}},
    "free bits": {"objective": {"free_bits": 0.1}},
    "iwae, dreg": {"objective": {"name": "iwae", "num_importance_samples": 4}, "gradient": {"estimator": "dreg"}},
    "stl": {"gradient": {"estimator": "stl"}, "kl": {"estimator": "monte_carlo"}},
    "score function": {"gradient": {"estimator": "score_function"}, "objective": {"num_samples": 2}},
    "mixture": {"model": {"prior": "mixture"}, "kl": {"estimator": "monte_carlo"}},
    "vamp": {"model": {"prior": "vamp"}, "kl": {"estimator": "monte_carlo"}},
    "clipped": {"training": {"gradient_clip": 0.5}},
}


def configuration(fused: str, tree: dict[str, Any], epochs: int = 2) -> TrialConfig:
    training = {"epochs": epochs, "batch_size": 50, "precision": "float64", "fused_replicates": fused}
    model = {"latent_dim": 3, "network": {"name": "mlp", "hidden": [16]}, **tree.get("model", {})}
    data = {"train_images": 120}
    return parse(
        {**tree, "training": training | tree.get("training", {}), "model": model, "data": data, "replicates": 3}
    )


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load(configuration("never", {}).data)


def compare(one: Training, other: Training) -> None:
    for solo, fused in zip(one.replicates, other.replicates, strict=True):
        for name, value in solo.vae.state_dict().items():
            torch.testing.assert_close(fused.vae.state_dict()[name], value, rtol=1e-6, atol=1e-9)
        for name, parameter in solo.vae.named_parameters():
            moments = fused.optimizer.state[fused.vae.get_parameter(name)]
            for key, value in solo.optimizer.state[parameter].items():
                torch.testing.assert_close(moments[key], value, rtol=1e-6, atol=1e-9)
        for row, fused_row in zip(solo.rows, fused.rows, strict=True):
            numbers = {key: value for key, value in row.items() if key != "seconds" and value is not None}
            assert {key: fused_row[key] for key in numbers} == pytest.approx(numbers, rel=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_a_fused_replicate_equals_its_solo_run(name: str, data: ImageData) -> None:
    solo, fused = (Training(configuration(choice, MODELS[name]), data) for choice in ("never", "always"))
    assert (solo.fused, fused.fused) == (False, True)
    for training in (solo, fused):
        assert len(list(training.run())) == 3
    assert fused.replicates[0].step == 6
    compare(solo, fused)


def test_a_fused_run_goes_on_from_a_solo_checkpoint(data: ImageData) -> None:
    """Between epochs nothing is stacked, so checkpoints are the same files."""
    solo, fused = (Training(configuration(choice, {}, epochs=3), data) for choice in ("never", "always"))
    steps = solo.run()
    next(steps), next(steps)
    fused.restore(copy.deepcopy(solo.state()))
    list(steps), list(fused.run())
    compare(solo, fused)


def test_the_processor_trains_replicates_one_after_the_other(data: ImageData) -> None:
    assert not Training(configuration("auto", {}), data).fused
    alone = configuration("always", {}).model_copy(update={"replicates": 1})
    assert not Training(alone, data).fused


@pytest.mark.parametrize(
    "model", [{"posterior": "full_gaussian"}, {"posterior": "laplace"}, {"posterior": "flow"}, {"prior": "flow"}]
)
def test_a_model_that_cannot_be_stacked_is_refused(model: dict[str, Any]) -> None:
    tree = {"model": model, "kl": {"estimator": "monte_carlo"}}
    with pytest.raises(ConfigError, match=r"training\.fused_replicates 'always' needs model\.posterior"):
        configuration("always", tree)
    configuration("auto", tree)


def test_clipping_is_by_replicate() -> None:
    gradients = {"a": torch.tensor([[3.0, 0.0], [0.3, 0.0]]), "b": torch.tensor([[4.0], [0.4]])}
    norms = torch.cat(list(clipped(gradients, 1.0).values()), dim=1).norm(dim=1)
    torch.testing.assert_close(norms, torch.tensor([1.0, 0.5]))
