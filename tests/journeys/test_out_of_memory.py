"""A device that runs out of memory: smaller blocks, the same numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline import config as cfg
from pipeline.config import TrialConfig, parse
from pipeline.data import images
from pipeline.model.vae import MAX_DECODES, VAE, build_vae
from pipeline.probability.sampling import draw
from pipeline.training.objectives import build_objective
from pipeline.trial import run_trial

TREE: dict[str, Any] = {
    "model": {"latent_dim": 3, "network": {"name": "mlp", "hidden": [8]}},
    "data": {"name": "digits", "train_images": 96},
    "objective": {"name": "elbo", "num_samples": 4},
    "training": {"epochs": 2, "batch_size": 32},
    "replicates": 1,
    "evaluation": {"max_images": 12, "num_importance_samples": [1, 64], "num_samples": 4, "gap_images": 4,
                   "gap_steps": 5, "prior_draws": 64, "prior_images": 4, "ais_images": 0, "pictures": False},
    "variance": {"images": 4, "draws": 64, "num_samples": [1, 4], "num_importance_samples": [1, 4],
                 "gradient_repeats": 4, "gradient_images": 4, "gradient_num_samples": [1, 4]},
}  # fmt: skip


class Small:
    """A device on which `most` images can be decoded at once."""

    def __init__(self, most: int) -> None:
        self.most, self.refused = most, 0
        self.decode = VAE.decode

    def __call__(self, vae: VAE, z: Tensor) -> Any:
        if math.prod(z.shape[:-1]) > self.most:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.decode(vae, z)


@pytest.fixture(scope="module")
def config() -> TrialConfig:
    return parse(TREE)


@pytest.fixture(scope="module")
def reference(config: TrialConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_trial(config, tmp_path_factory.mktemp("reference")).record


def test_a_trial_goes_on_in_smaller_blocks_with_the_same_numbers(
    config: TrialConfig, reference: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, epochs = Small(50), []
    monkeypatch.setattr(VAE, "decode", lambda vae, z: small(vae, z))
    record = run_trial(config, tmp_path, report=lambda epoch, metrics: epochs.append(epoch)).record
    assert small.refused > 1
    assert record["environment"]["max_decodes"] == 32
    assert "max_decodes" not in reference["environment"]
    assert epochs == [0, 1, 2], "every epoch is reported once"
    assert record["metrics"].keys() == reference["metrics"].keys()
    expected = {key: value for key, value in reference["metrics"].items() if value is not None}
    for key, value in expected.items():
        assert record["metrics"][key] == pytest.approx(value, rel=2e-3, abs=2e-4), key


def test_where_a_single_image_does_not_fit_the_error_goes_on(
    config: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Small(0)
    monkeypatch.setattr(VAE, "decode", lambda vae, z: small(vae, z))
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        run_trial(config, tmp_path)
    assert small.refused == 1 + math.log2(MAX_DECODES)
    assert not (tmp_path / "result.json").exists()


OBJECTIVES = [
    ("elbo", "closed_form", "pathwise"),
    ("elbo", "monte_carlo", "stl"),
    ("elbo", "monte_carlo_k3", "pathwise"),
    ("elbo", "control_variate", "pathwise"),
    ("elbo", "closed_form", "score_function"),
    ("iwae", "monte_carlo", "pathwise"),
    ("iwae", "monte_carlo", "dreg"),
    ("iwae", "monte_carlo", "score_function"),
]


@pytest.mark.parametrize("max_decodes", [1, 5, 12])
@pytest.mark.parametrize(("name", "kl", "gradient"), OBJECTIVES)
def test_the_gradient_is_the_same_in_blocks(name: str, kl: str, gradient: str, max_decodes: int) -> None:
    objective: dict[str, Any] = {"name": name, "num_samples": 4} | (
        {"num_importance_samples": 2} if name == "iwae" else {}
    )
    parts = {"objective": objective, "gradient": {"estimator": gradient}} | (
        {"kl": {"estimator": kl}} if name == "elbo" else {}
    )
    step = build_objective(parse({**TREE, **parts}))
    data = images.load(cfg.DataConfig(name="digits"))
    vae = build_vae(
        parse(TREE).model, image_shape=data.image_shape, levels=data.levels, generator=torch.Generator().manual_seed(0)
    )
    vae.to(torch.float64)
    generator = torch.Generator().manual_seed(1)
    noise = draw("iid", step.num_draws, 6, 3, generator=generator, dtype=torch.float64, device=torch.device("cpu"))

    def gradients() -> list[Tensor]:
        loss = step(vae, data.train[:6], noise, kl_weight=1.0).loss
        return [loss.detach(), *torch.autograd.grad(loss, list(vae.parameters()))]

    expected = gradients()
    vae.max_decodes = max_decodes
    torch.testing.assert_close(gradients(), expected)
