"""The training part of a trial: what it reports, when it saves, what a divergence leaves, which keys arrive."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from small_trial import BASE, Interrupted, rows_of, small_config

from pipeline.config import override, parse
from pipeline.training.replicate import Replicate, TrainingDiverged
from pipeline.trial import checkpoints, run, run_trial, train


def test_reports_come_once_an_epoch_with_mean_error_and_single_values(finished):
    _, folder, reported = finished
    assert [epoch for epoch, _ in reported] == [0, 1, 2, 3]
    history = rows_of(folder, "history")
    for epoch, metrics in reported:
        values = [row["validation.elbo"] for row in history if row["epoch"] == epoch]
        assert metrics["validation.elbo"] == pytest.approx(statistics.fmean(values))
        assert metrics["validation.elbo.standard_error"] == pytest.approx(statistics.stdev(values) / math.sqrt(2))
        assert [metrics[f"validation.elbo.replicate_{number}"] for number in (0, 1)] == values
        assert all(isinstance(value, (int, float)) for value in metrics.values())
        assert ("train.elbo" in metrics) == (epoch > 0)


def test_saving_is_throttled(tmp_path, digits, monkeypatch):
    saved, original = [], checkpoints.save
    monkeypatch.setattr(checkpoints, "save", lambda path, *rest: saved.append(path.name) or original(path, *rest))
    run_trial(small_config(evaluation__pictures=False), tmp_path, data=digits)
    assert saved == ["training.pt", "replicate_0.pt", "replicate_1.pt"]


def test_the_machines_pauses_change_no_number(tmp_path, finished, digits, monkeypatch):
    """Saving after every epoch or never gives the same trial."""
    monkeypatch.setattr(checkpoints.Throttle, "due", lambda self: True)
    assert run_trial(small_config(), tmp_path, data=digits).metrics == finished[0].metrics


def test_divergence_fails_the_trial_and_loses_nothing(tmp_path, digits, monkeypatch):
    original = Replicate.update

    def poisoned(self, index, progress):
        if self.number == 1 and progress >= 1:
            with torch.no_grad():
                next(self.vae.decoder.parameters()).fill_(float("nan"))
        return original(self, index, progress)

    monkeypatch.setattr(Replicate, "update", poisoned)
    for _ in range(2):  # and again from the folder, in the same way
        with pytest.raises(TrainingDiverged, match=r"replicate 1 diverged: loss is nan in step 5 \(epoch 2\)"):
            run_trial(small_config(), tmp_path, data=digits)
        assert [(row["replicate"], row["epoch"]) for row in rows_of(tmp_path, "history")] == [
            (0, 0),
            (0, 1),
            (0, 2),
            (1, 0),
            (1, 1),
        ]
        assert {row["status"] for row in rows_of(tmp_path, "replicates")} == {"diverged"}
        assert not (tmp_path / "result.json").exists()


ARRIVALS = {
    "data.levels": (4, lambda run: run.replicates[0].vae.levels),
    "data.train_images": (50, lambda run: len(run.replicates[0].data.train)),
    "model.latent_dim": (5, lambda run: run.replicates[0].vae.latent_dim),
    "model.network.hidden": ([7], lambda run: [w.shape[0] for w in run.replicates[0].vae.encoder.parameters()][:1]),
    "objective.num_samples": (4, lambda run: run.replicates[0].objective.num_draws),
    "training.batch_size": (25, lambda run: math.ceil(200 / (run.replicates[0].step / 3))),
    "training.learning_rate": (0.005, lambda run: run.replicates[0].optimizer.param_groups[0]["lr"]),
    "training.epochs": (1, lambda run: run.epoch),
    "replicates": (1, lambda run: len(run.replicates)),
    "first_replicate": (4, lambda run: run.replicates[0].number),
}


@pytest.mark.parametrize("key", ARRIVALS)
def test_a_key_of_the_configuration_arrives_in_what_is_trained(tmp_path, monkeypatch, key):
    runs, original = [], train.Training

    def spy(*arguments):
        runs.append(original(*arguments))
        return runs[-1]

    def stop(*arguments):
        raise Interrupted

    monkeypatch.setattr(train, "Training", spy)
    monkeypatch.setattr(run, "measure", stop)
    value, read = ARRIVALS[key]
    config = parse(override(BASE, {"evaluation.pictures": False, key: value}))
    with pytest.raises(Interrupted):
        run_trial(config, tmp_path)
    assert read(runs[0]) == value
