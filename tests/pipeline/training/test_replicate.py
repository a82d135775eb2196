"""One replicate: its rows and best weights, its steps, and what stops it."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from small_training import history, small_training

from pipeline.training import replicate as replicate_module
from pipeline.training.loop import Training
from pipeline.training.replicate import TrainingDiverged
from pipeline.training.validation import importance_bound, validate


def test_bits_per_dim_and_parts_agree_with_the_bound(digits):
    for row in history(small_training(), digits)[2:]:
        for split in ("train", "validation"):
            assert row[f"{split}.elbo"] == pytest.approx(-row[f"{split}.reconstruction"] - row[f"{split}.kl"], rel=1e-5)
            assert row[f"{split}.bits_per_dim"] == pytest.approx(-row[f"{split}.elbo"] / (64 * math.log(2)))


def test_training_means_count_each_image_once(digits):
    """Without movement (a tiny step) the epoch's mean does not depend on how the images fall into batches."""
    still = {"epochs": 1, "learning_rate": 1e-12}
    small, whole = (
        history(small_training(training={**still, "batch_size": size}, objective={"num_samples": 16}), digits)[-1]
        for size in (7, 300)
    )
    assert small["train.elbo"] == pytest.approx(whole["train.elbo"], rel=3e-3)
    assert small["train.kl"] == pytest.approx(whole["train.kl"], rel=1e-4)


def test_the_bound_rises_and_the_best_weights_are_those_of_the_best_epoch(digits):
    run = Training(small_training(training={"epochs": 10}), digits)
    for _ in run.run():
        pass
    for replicate in run.replicates:
        elbo = [row["validation.elbo"] for row in replicate.rows]
        assert elbo[10] > elbo[0] + 10
        assert replicate.best_bound == max(elbo) == elbo[replicate.best_epoch]
        replicate.vae.load_state_dict(replicate.best_weights)
        again = validate(replicate.vae, digits.validation, closed_form=True, seed=replicate.seed("validation"))
        assert again["validation.elbo"] == replicate.best_bound


IWAE = {"objective": {"name": "iwae", "num_importance_samples": 4}}


def test_the_best_epoch_of_iwae_is_chosen_by_the_bound_that_is_trained(digits):
    run = Training(small_training(**IWAE), digits)
    for _ in run.run():
        pass
    for replicate in run.replicates:
        bounds = [row["validation.iwae_4"] for row in replicate.rows]
        assert replicate.best_bound == max(bounds) == bounds[replicate.best_epoch]
        assert all(row["validation.iwae_4"] > row["validation.elbo"] for row in replicate.rows)
        replicate.vae.load_state_dict(replicate.best_weights)
        again = importance_bound(replicate.vae, digits.validation, 4, seed=replicate.seed("validation bound"))
        assert again == replicate.best_bound


def test_where_elbo_and_trained_bound_disagree_the_trained_bound_wins(digits, monkeypatch):
    """The ELBO rises with every epoch; the K-sample bound is best after the first."""
    told = iter([-300.0, -100.0, -200.0, -150.0])
    monkeypatch.setattr(replicate_module, "importance_bound", lambda *images, **seed: next(told))
    run = Training(small_training(**IWAE, replicates=1), digits)
    for _ in run.run():
        pass
    elbo = [row["validation.elbo"] for row in run.replicates[0].rows]
    assert elbo == sorted(elbo)
    assert (run.replicates[0].best_epoch, run.replicates[0].best_bound) == (1, -100.0)


@pytest.mark.parametrize(("objective", "kept"), [({}, True), (IWAE, False)])
def test_an_older_checkpoint_goes_on_with_its_elbo_or_chooses_anew(digits, objective, kept):
    run = Training(small_training(**objective, replicates=1), digits)
    next(iter(run.run()))
    state = run.state()
    plain = state["replicates"][0]["plain"]
    bound = plain.pop("best_bound")
    plain["best_elbo"] = run.replicates[0].rows[0]["validation.elbo"]
    resumed = Training(small_training(**objective, replicates=1), digits)
    resumed.restore(state)
    assert resumed.replicates[0].best_bound == (bound if kept else -math.inf)


def test_gradient_clip_bounds_the_step(digits):
    """With Adam's first step the size is the learning rate whatever the gradient; its second moment shows the clip."""
    run = Training(
        small_training(training={"gradient_clip": 1e-3, "epochs": 1, "batch_size": 300}, replicates=1), digits
    )
    for _ in run.run():
        pass
    second = sum(state["exp_avg_sq"].sum().item() for state in run.replicates[0].optimizer.state.values())
    assert math.sqrt(second / 1e-3) == pytest.approx(1e-3, rel=1e-3)


def test_float64_trains_in_float64(digits):
    run = Training(small_training(training={"precision": "float64", "epochs": 1}, replicates=1), digits)
    for _ in run.run():
        pass
    assert {value.dtype for value in run.replicates[0].best_weights.values()} == {torch.float64}


def test_a_loss_that_is_not_finite_stops_with_replicate_step_and_settings(digits):
    run = Training(small_training(training={"learning_rate": 10.0, "batch_size": 300}), digits)
    original = run.replicates[1].update

    def poisoned(index, progress):
        if progress >= 2:
            with torch.no_grad():
                next(run.replicates[1].vae.decoder.parameters()).fill_(float("nan"))
        return original(index, progress)

    run.replicates[1].update = poisoned
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
    run = Training(small_training(training={"epochs": 0}), broken)
    with torch.no_grad():
        next(run.replicates[0].vae.parameters()).fill_(float("inf"))
    with pytest.raises(TrainingDiverged, match=r"replicate 0 diverged: validation.elbo is nan after step 0"):
        next(iter(run.run()))
