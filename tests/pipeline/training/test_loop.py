"""Training: seeds, exact resumption, what is recorded, and what stops it."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch.distributions import kl_divergence

from pipeline.config import ConfigError, DataConfig, flatten, override, parse
from pipeline.data import images
from pipeline.training import loop as training
from pipeline.training import replicate as replicates
from pipeline.training.loop import Training
from pipeline.training.precision import tf32
from pipeline.training.replicate import TrainingDiverged, kl_weight, validate
from pipeline.trial import checkpoints

TREE = {
    "data": {"train_images": 300},
    "model": {"latent_dim": 3, "network": {"name": "mlp", "hidden": [16]}},
    "training": {"epochs": 3, "batch_size": 64},
    "replicates": 2,
}
ROW = [
    *("replicate", "epoch", "step"),
    *(f"train.{quantity}" for quantity in ("loss", "elbo", "reconstruction", "kl", "bits_per_dim")),
    *(f"validation.{quantity}" for quantity in ("elbo", "reconstruction", "kl", "bits_per_dim")),
    *("training.learning_rate", "seconds"),
]


BASE = parse(TREE).model_dump(mode="json")


def _config(**sections):
    return parse(override(BASE, flatten(sections)))


@pytest.fixture(scope="module")
def digits():
    return images.load(DataConfig(train_images=300))


def _rows(config, data):
    return [row for rows in Training(config, data).run() for row in rows]


def _numbers(rows):
    """Everything but the clock."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


# --- seeds ----------------------------------------------------------------------------------------------------------


def test_same_seed_same_numbers_and_another_seed_differs(digits):
    first = _numbers(_rows(_config(), digits))
    assert first == _numbers(_rows(_config(), digits))
    other = _numbers(_rows(_config(seed=1), digits))
    assert all(a["validation.elbo"] != b["validation.elbo"] for a, b in zip(first, other))


def test_replicates_differ_and_do_not_depend_on_each_other(digits):
    three = [row for row in _numbers(_rows(_config(replicates=3), digits)) if row["replicate"] == 2]
    alone = _numbers(_rows(_config(replicates=1, first_replicate=2), digits))
    assert alone == three
    assert len({row["validation.elbo"] for row in _rows(_config(), digits)}) == 8


def test_the_global_random_stream_is_neither_used_nor_moved(digits):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = _numbers(_rows(_config(), digits))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert _numbers(_rows(_config(), digits)) == first


# --- resumption -----------------------------------------------------------------------------------------------------

VARIED = [
    {},
    {"objective": {"name": "elbo", "num_samples": 4, "sampling": "sobol", "kl_warmup_epochs": 3}},
    {"objective": {"name": "iwae", "num_importance_samples": 4}, "gradient": {"estimator": "dreg"}},
    {
        "model.posterior": {"name": "flow", "transforms": 1, "hidden": [8], "context": 8},
        "model.prior": {"name": "vamp", "pseudo_inputs": 5},
        "kl.estimator": "monte_carlo",
    },
    {"training": {"gradient_clip": 0.5, "precision": "float64"}},
]


@pytest.mark.parametrize("change", VARIED)
def test_a_resumed_training_gives_exactly_the_same_numbers(tmp_path, digits, change):
    config, epoch = _config(**change), 1
    whole = Training(config, digits)
    expected = [_numbers(rows) for rows in whole.run()]
    interrupted = Training(config, digits)
    for _ in zip(range(epoch + 1), interrupted.run()):
        pass
    checkpoints.save(tmp_path / "training.pt", interrupted.state(), {})
    resumed = Training(config, digits)
    resumed.restore(checkpoints.load(tmp_path / "training.pt", {}))
    assert [_numbers(rows) for rows in resumed.run()] == expected[epoch + 1 :]
    for one, other in zip(whole.replicates, resumed.replicates):
        assert _numbers(one.rows) == _numbers(other.rows)
        assert one.best_epoch == other.best_epoch
        assert all(torch.equal(value, other.best_weights[key]) for key, value in one.best_weights.items())
        assert all(torch.equal(value, other.vae.state_dict()[key]) for key, value in one.vae.state_dict().items())


def test_dynamic_binarization_resumes_exactly(tmp_path):
    data = images.load(DataConfig(binarization="dynamic", train_images=100))
    config = _config(data={"binarization": "dynamic", "train_images": 100}, model={"likelihood": {"name": "bernoulli"}})
    expected = _numbers(_rows(config, data))
    interrupted = Training(config, data)
    next(iter(interrupted.run()))
    resumed = Training(config, data)
    resumed.restore(interrupted.state())
    assert _numbers([row for rows in resumed.run() for row in rows]) == expected[2:]


# --- what is recorded -----------------------------------------------------------------------------------------------


def test_rows_follow_the_schema_and_begin_before_training(digits):
    rows = _rows(_config(), digits)
    assert all(list(row) == ROW for row in rows)
    assert [(row["replicate"], row["epoch"], row["step"]) for row in rows] == [
        (replicate, epoch, 5 * epoch) for epoch in range(4) for replicate in (0, 1)
    ]
    assert all(row[key] is None for row in rows[:2] for key in ROW if key.startswith("train."))
    assert all(isinstance(row[key], float) for row in rows[2:] for key in ROW[3:])
    assert all(row["training.learning_rate"] == 1e-3 for row in rows)
    assert all(a["seconds"] < b["seconds"] for a, b in zip(rows, rows[2:]))


def test_bits_per_dim_and_parts_agree_with_the_bound(digits):
    for row in _rows(_config(), digits)[2:]:
        for split in ("train", "validation"):
            assert row[f"{split}.elbo"] == pytest.approx(-row[f"{split}.reconstruction"] - row[f"{split}.kl"], rel=1e-5)
            assert row[f"{split}.bits_per_dim"] == pytest.approx(-row[f"{split}.elbo"] / (64 * math.log(2)))


def test_training_means_count_each_image_once(digits):
    """Without movement (a tiny step) the epoch's mean does not depend on how the images fall into batches."""
    still = {"epochs": 1, "learning_rate": 1e-12}
    small, whole = (
        _rows(_config(training={**still, "batch_size": size}, objective={"num_samples": 16}), digits)[-1]
        for size in (7, 300)
    )
    assert small["train.elbo"] == pytest.approx(whole["train.elbo"], rel=3e-3)
    assert small["train.kl"] == pytest.approx(whole["train.kl"], rel=1e-4)


def test_the_bound_rises_and_the_best_weights_are_those_of_the_best_epoch(digits):
    run = Training(_config(training={"epochs": 10}), digits)
    for _ in run.run():
        pass
    for replicate in run.replicates:
        elbo = [row["validation.elbo"] for row in replicate.rows]
        assert elbo[10] > elbo[0] + 10
        assert replicate.best_elbo == max(elbo) == elbo[replicate.best_epoch]
        replicate.vae.load_state_dict(replicate.best_weights)
        again = validate(replicate.vae, digits.validation, closed_form=True, seed=replicate._seed("validation"))
        assert again["validation.elbo"] == replicate.best_elbo


def test_zero_epochs_is_the_model_before_training(digits):
    run = Training(_config(training={"epochs": 0}), digits)
    (rows,) = run.run()
    assert [row["epoch"] for row in rows] == [0, 0]
    assert all(replicate.best_epoch == 0 and replicate.best_weights for replicate in run.replicates)


# --- the validation bound -------------------------------------------------------------------------------------------


def test_trials_are_compared_by_one_quantity_whatever_they_train_on(digits):
    """Before training all these have the same weights, so the same validation bound."""
    changes = [
        {"kl": {"estimator": "closed_form"}},
        {"kl": {"estimator": "monte_carlo"}},
        {"objective": {"name": "elbo", "num_samples": 16, "sampling": "antithetic", "beta": 4.0, "free_bits": 1.0}},
        {"objective": {"name": "iwae", "num_importance_samples": 64}},
        {
            "gradient.estimator": "stl",
            "kl.estimator": "monte_carlo",
            "training.batch_size": 7,
            "training.learning_rate": 0.1,
        },
    ]
    bounds = [_rows(_config(**change, **{"training.epochs": 0, "replicates": 1}), digits)[0] for change in changes]
    assert len({row["validation.elbo"] for row in bounds}) == 1


def test_validation_is_the_mean_bound_with_a_closed_form_kl(digits):
    vae = Training(_config(), digits).replicates[0].vae
    row = validate(vae, digits.validation, closed_form=True, seed=0)
    with torch.no_grad():
        kl = kl_divergence(vae.posterior(digits.validation), vae.prior())
    assert row["validation.kl"] == pytest.approx(float(kl.mean()), rel=1e-5)
    assert row == validate(vae, digits.validation, closed_form=True, seed=0)
    # Monte Carlo agrees within its own error, over images and draws together.
    many = [validate(vae, digits.validation, closed_form=False, seed=seed)["validation.kl"] for seed in range(20)]
    spread = torch.tensor(many).std().item() / math.sqrt(20)
    assert abs(sum(many) / 20 - row["validation.kl"]) < 5 * spread


def test_validation_does_not_depend_on_its_chunks_beyond_the_noise(digits, monkeypatch):
    vae = Training(_config(), digits).replicates[0].vae
    whole = validate(vae, digits.validation, closed_form=True, seed=0)
    monkeypatch.setattr(replicates, "VALIDATION_CHUNK", 100)
    parts = validate(vae, digits.validation, closed_form=True, seed=0)
    assert parts["validation.kl"] == pytest.approx(whole["validation.kl"], rel=1e-6)
    assert parts["validation.reconstruction"] == pytest.approx(whole["validation.reconstruction"], rel=1e-2)


# --- warm-up, clipping, precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "progress", "weight"),
    [
        ({"beta": 2.0}, 0.0, 2.0),
        ({"beta": 2.0, "kl_warmup_epochs": 4}, 0.0, 0.0),
        ({"beta": 2.0, "kl_warmup_epochs": 4}, 1.5, 0.75),
        ({"beta": 2.0, "kl_warmup_epochs": 4}, 9.0, 2.0),
        ({"name": "iwae"}, 0.0, 1.0),
    ],
)
def test_kl_weight_rises_linearly_to_beta(objective, progress, weight):
    assert kl_weight(_config(objective=objective), progress) == weight


def test_gradient_clip_bounds_the_step(digits):
    """With Adam's first step the size is the learning rate whatever the gradient; its second moment shows the clip."""
    run = Training(_config(training={"gradient_clip": 1e-3, "epochs": 1, "batch_size": 300}, replicates=1), digits)
    for _ in run.run():
        pass
    second = sum(state["exp_avg_sq"].sum().item() for state in run.replicates[0].optimizer.state.values())
    assert math.sqrt(second / 1e-3) == pytest.approx(1e-3, rel=1e-3)


def test_float64_trains_in_float64(digits):
    run = Training(_config(training={"precision": "float64", "epochs": 1}, replicates=1), digits)
    for _ in run.run():
        pass
    assert {value.dtype for value in run.replicates[0].best_weights.values()} == {torch.float64}


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_reduced_precision_needs_a_cuda_device(digits, precision):
    with pytest.raises(ConfigError, match=rf"training.precision '{precision}' needs a CUDA device, got 'cpu'"):
        Training(_config(training={"precision": precision}), digits)


def test_tf32_is_for_the_training_steps_alone(digits, monkeypatch):
    """torch's own default would compute the convolutions of validation and evaluation in TF32 too."""
    monkeypatch.setattr(training, "NEEDS_CUDA", ())  # the flags can be looked at without a device that heeds them
    replicate = Training(_config(training={"precision": "tf32", "epochs": 1}), digits).replicates[0]
    seen = {}
    for name in ("_update", "close"):
        inner = getattr(replicate, name)

        def looked(*arguments, inner=inner, name=name):
            seen[name] = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
            return inner(*arguments)

        monkeypatch.setattr(replicate, name, looked)
    with tf32(False):
        replicate.advance(1)
    assert seen == {"_update": (True, True), "close": (False, False)}


# --- divergence -----------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_with_replicate_step_and_settings(digits):
    run = Training(_config(training={"learning_rate": 10.0, "batch_size": 300}), digits)
    original = run.replicates[1]._update

    def poisoned(index, progress):
        if progress >= 2:
            with torch.no_grad():
                next(run.replicates[1].vae.decoder.parameters()).fill_(float("nan"))
        return original(index, progress)

    run.replicates[1]._update = poisoned
    with pytest.raises(TrainingDiverged, match=r"replicate 1 diverged: loss is nan in step 3 \(epoch 3\)") as caught:
        for _ in run.run():
            pass
    for setting in ("training.learning_rate 10", "training.batch_size 300", "model.latent_dim 3", "objective elbo"):
        assert setting in str(caught.value)
    assert run.epoch == 2
    assert len(run.replicates[0].rows) == 4
    assert len(run.replicates[1].rows) == 3


def test_a_validation_bound_that_is_not_finite_stops_too(digits):
    broken = dataclasses.replace(digits)
    run = Training(_config(training={"epochs": 0}), broken)
    with torch.no_grad():
        next(run.replicates[0].vae.parameters()).fill_(float("inf"))
    with pytest.raises(TrainingDiverged, match=r"replicate 0 diverged: validation.elbo is nan after step 0"):
        next(iter(run.run()))


# --- real images ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_small_network_beats_the_floor_of_mnist_within_a_few_epochs():
    import os
    from pathlib import Path

    if not (Path(os.environ.get("ELBOSWEEP_DATA") or "nowhere") / "MNIST" / "raw").is_dir():
        pytest.skip("ELBOSWEEP_DATA names no folder with MNIST/raw")
    data = images.load(DataConfig(name="mnist"), download=False)
    floor = images.histogram_floor(data)["validation"]
    config = parse({"data": {"name": "mnist"}, "model": {"latent_dim": 20}, "training": {"epochs": 2}, "replicates": 1})
    rows = _rows(config, data)
    assert -rows[-1]["validation.elbo"] < floor < -rows[0]["validation.elbo"]
