"""The epoch loop: seeds, exact resumption, and the rows of all replicates."""

from __future__ import annotations

import pytest
import torch
from small_training import history, numbers, small_training

from pipeline.config import DataConfig, parse
from pipeline.data import images
from pipeline.training.loop import Training
from pipeline.trial import checkpoints

ROW = [
    *("replicate", "epoch", "step"),
    *(f"train.{quantity}" for quantity in ("loss", "elbo", "reconstruction", "kl", "bits_per_dim")),
    *(f"validation.{quantity}" for quantity in ("elbo", "reconstruction", "kl", "bits_per_dim")),
    *("training.learning_rate", "seconds"),
]


def test_same_seed_same_numbers_and_another_seed_differs(digits):
    first = numbers(history(small_training(), digits))
    assert first == numbers(history(small_training(), digits))
    other = numbers(history(small_training(seed=1), digits))
    assert all(a["validation.elbo"] != b["validation.elbo"] for a, b in zip(first, other))


def test_replicates_differ_and_do_not_depend_on_each_other(digits):
    three = [row for row in numbers(history(small_training(replicates=3), digits)) if row["replicate"] == 2]
    alone = numbers(history(small_training(replicates=1, first_replicate=2), digits))
    assert alone == three
    assert len({row["validation.elbo"] for row in history(small_training(), digits)}) == 8


def test_the_global_random_stream_is_neither_used_nor_moved(digits):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = numbers(history(small_training(), digits))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert numbers(history(small_training(), digits)) == first


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
def test_a_resumed_training_gives_exactly_the_samenumbers(tmp_path, digits, change):
    config, epoch = small_training(**change), 1
    whole = Training(config, digits)
    expected = [numbers(rows) for rows in whole.run()]
    interrupted = Training(config, digits)
    for _ in zip(range(epoch + 1), interrupted.run()):
        pass
    checkpoints.save(tmp_path / "training.pt", interrupted.state(), {})
    resumed = Training(config, digits)
    resumed.restore(checkpoints.load(tmp_path / "training.pt", {}))
    assert [numbers(rows) for rows in resumed.run()] == expected[epoch + 1 :]
    for one, other in zip(whole.replicates, resumed.replicates):
        assert numbers(one.rows) == numbers(other.rows)
        assert one.best_epoch == other.best_epoch
        assert all(torch.equal(value, other.best_weights[key]) for key, value in one.best_weights.items())
        assert all(torch.equal(value, other.vae.state_dict()[key]) for key, value in one.vae.state_dict().items())


def test_dynamic_binarization_resumes_exactly(tmp_path):
    data = images.load(DataConfig(binarization="dynamic", train_images=100))
    config = small_training(
        data={"binarization": "dynamic", "train_images": 100}, model={"likelihood": {"name": "bernoulli"}}
    )
    expected = numbers(history(config, data))
    interrupted = Training(config, data)
    next(iter(interrupted.run()))
    resumed = Training(config, data)
    resumed.restore(interrupted.state())
    assert numbers([row for rows in resumed.run() for row in rows]) == expected[2:]


def test_rows_follow_the_schema_and_begin_before_training(digits):
    rows = history(small_training(), digits)
    assert all(list(row) == ROW for row in rows)
    assert [(row["replicate"], row["epoch"], row["step"]) for row in rows] == [
        (replicate, epoch, 5 * epoch) for epoch in range(4) for replicate in (0, 1)
    ]
    assert all(row[key] is None for row in rows[:2] for key in ROW if key.startswith("train."))
    assert all(isinstance(row[key], float) for row in rows[2:] for key in ROW[3:])
    assert all(row["training.learning_rate"] == 1e-3 for row in rows)
    assert all(a["seconds"] < b["seconds"] for a, b in zip(rows, rows[2:]))


def test_zero_epochs_is_the_model_before_training(digits):
    run = Training(small_training(training={"epochs": 0}), digits)
    (rows,) = run.run()
    assert [row["epoch"] for row in rows] == [0, 0]
    assert all(replicate.best_epoch == 0 and replicate.best_weights for replicate in run.replicates)


@pytest.mark.slow
def test_a_small_network_beats_the_floor_of_mnist_within_a_few_epochs():
    import os
    from pathlib import Path

    if not (Path(os.environ.get("ELBOSWEEP_DATA") or "nowhere") / "MNIST" / "raw").is_dir():
        pytest.skip("ELBOSWEEP_DATA names no folder with MNIST/raw")
    data = images.load(DataConfig(name="mnist"), download=False)
    floor = images.histogram_floor(data)["validation"]
    config = parse({"data": {"name": "mnist"}, "model": {"latent_dim": 20}, "training": {"epochs": 2}, "replicates": 1})
    rows = history(config, data)
    assert -rows[-1]["validation.elbo"] < floor < -rows[0]["validation.elbo"]
