"""A trial: the folder it leaves, interruption and resumption, refusal of what does not fit, measuring again."""

from __future__ import annotations

import json
import math
import statistics

import pytest
import torch
import yaml

from pipeline.config import ConfigError, DataConfig, config_hash, flatten, override, parse
from pipeline.data import images
from pipeline.data.splits import SPLITS
from pipeline.training.replicate import TrainingDiverged
from pipeline.trial import evaluate_trial, run_trial
from pipeline.trial import run as trial

TREE = {
    "data": {"train_images": 200},
    "model": {"latent_dim": 2, "network": {"name": "mlp", "hidden": [16]}},
    "training": {"epochs": 3, "batch_size": 64},
    "evaluation": {
        "num_samples": 4,
        "num_importance_samples": [1, 4],
        "max_images": 24,
        "gap_images": 2,
        "gap_steps": 5,
        "prior_draws": 100,
        "prior_images": 2,
    },
    "variance": {
        "images": 8,
        "draws": 64,
        "num_samples": [1, 2, 4],
        "num_importance_samples": [1],
        "gradient_repeats": 8,
        "gradient_num_samples": [1],
        "gradient_images": 4,
    },
    "replicates": 2,
}
BASE = parse(TREE).model_dump(mode="json")
TABLES = ("history", "replicates", "variance", "gradients", "evidence")


class Interrupted(Exception):
    pass


def _config(**overrides):
    return parse(override(BASE, {key.replace("__", "."): value for key, value in overrides.items()}))


def _rows(folder, table):
    return [json.loads(line) for line in (folder / f"{table}.jsonl").read_text().splitlines()]


def _timeless(rows):
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows]


@pytest.fixture(scope="module")
def digits():
    return images.load(DataConfig(train_images=200))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, digits):
    """One whole trial, with what it reported."""
    folder, reported = tmp_path_factory.mktemp("trial"), []
    result = run_trial(_config(), folder, data=digits, report=lambda epoch, metrics: reported.append((epoch, metrics)))
    return result, folder, reported


# --- what a finished trial leaves -----------------------------------------------------------------------------------


def test_the_folder_is_complete_and_nothing_is_left_over(finished):
    _, folder, _ = finished
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    pictures = (
        "manifold",
        "reconstructions",
        "samples_epoch_0000",
        "samples_epoch_0001",
        "samples_epoch_0002",
        "samples_final",
        "training_curves",
    )
    assert names == sorted(
        ["config.yaml", "result.json", "checkpoints/replicate_0.pt", "checkpoints/replicate_1.pt"]
        + [f"{table}.jsonl" for table in TABLES]
        + [f"pictures/{name}.png" for name in pictures]
    )


def test_result_says_what_was_run_on_what(finished, digits):
    result, folder, _ = finished
    record = json.loads((folder / "result.json").read_text())
    assert result.record == record
    assert (record["schema"], record["status"]) == (1, "finished")
    assert record["config_hash"] == config_hash(_config())
    assert record["config"] == flatten(_config())
    assert record["data"]["checksum"] == digits.checksum
    assert record["data"]["histogram_floor"] == pytest.approx(images.histogram_floor(digits)["test"])
    assert [record["data"][split] for split in SPLITS] == [len(getattr(digits, split)) for split in SPLITS]
    assert record["environment"]["torch"] == torch.__version__
    assert record["environment"]["device"] == "cpu"
    assert set(record["seconds"]) == {"training", "evaluation", "variance", "gradients", "pictures", "total"}
    assert record["seconds"]["total"] >= sum(value for key, value in record["seconds"].items() if key != "total")
    assert parse(yaml.safe_load((folder / "config.yaml").read_text())) == _config()


def test_metrics_are_means_and_standard_errors_over_replicates(finished):
    result, folder, _ = finished
    rows = _rows(folder, "replicates")
    assert [row["replicate"] for row in rows] == [0, 1]
    for name in ("validation.elbo", "test.elbo", "test.iwae_4", "test.bits_per_dim", "variance.k1_ratio"):
        values = [row[name] for row in rows]
        assert result.metrics[name] == pytest.approx(statistics.fmean(values))
        assert result.metrics[f"{name}.standard_error"] == pytest.approx(statistics.stdev(values) / math.sqrt(2))
    assert not [name for name in result.metrics if name.startswith("seconds") or name.endswith("error.standard_error")]


def test_replicate_rows_tell_the_best_epoch_of_the_history(finished):
    _, folder, _ = finished
    history = _rows(folder, "history")
    assert len(history) == 8
    for row in _rows(folder, "replicates"):
        own = {h["epoch"]: h["validation.elbo"] for h in history if h["replicate"] == row["replicate"]}
        assert row["validation.elbo"] == max(own.values()) == own[row["best_epoch"]]
        assert (row["status"], row["epochs"]) == ("finished", 3)
        assert 0 <= row["seed"] < 2**63


def test_long_tables_hold_every_replicate(finished):
    _, folder, _ = finished
    for table in ("variance", "gradients", "evidence"):
        assert {row["replicate"] for row in _rows(folder, table)} == {0, 1}
    assert {row["sampling"] for row in _rows(folder, "variance")} == {"iid", "antithetic", "sobol"}


def test_reports_come_once_an_epoch_with_mean_error_and_single_values(finished):
    _, folder, reported = finished
    assert [epoch for epoch, _ in reported] == [0, 1, 2, 3]
    history = _rows(folder, "history")
    for epoch, metrics in reported:
        values = [row["validation.elbo"] for row in history if row["epoch"] == epoch]
        assert metrics["validation.elbo"] == pytest.approx(statistics.fmean(values))
        assert metrics["validation.elbo.standard_error"] == pytest.approx(statistics.stdev(values) / math.sqrt(2))
        assert [metrics[f"validation.elbo.replicate_{number}"] for number in (0, 1)] == values
        assert all(isinstance(value, (int, float)) for value in metrics.values())
        assert ("train.elbo" in metrics) == (epoch > 0)


def test_one_replicate_has_no_standard_error(tmp_path, digits):
    reported = []
    config = _config(replicates=1, evaluation__pictures=False)
    result = run_trial(config, tmp_path, data=digits, report=lambda epoch, metrics: reported.append(metrics))
    assert result.metrics["test.elbo.standard_error"] is None
    assert "validation.elbo.standard_error" not in reported[0]
    assert not (tmp_path / "pictures").exists()


# --- running again --------------------------------------------------------------------------------------------------


def test_a_finished_trial_is_returned_and_not_trained_again(finished, monkeypatch):
    result, folder, _ = finished
    monkeypatch.setattr(trial, "_train", lambda *_: pytest.fail("trained again"))
    again = run_trial(_config(), folder, report=lambda *_: pytest.fail("reported again"))
    assert again == result


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_trial_that_a_report_ended_goes_on_to_the_same_numbers(tmp_path, finished, digits, epoch):
    result, reference, _ = finished

    def stop(now, metrics):
        if now == epoch:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_trial(_config(), tmp_path, data=digits, report=stop)
    assert len(_rows(tmp_path, "history")) == 2 * (epoch + 1)
    assert {row["status"] for row in _rows(tmp_path, "replicates")} == {"stopped"}
    assert not (tmp_path / "result.json").exists()
    later = []
    resumed = run_trial(_config(), tmp_path, data=digits, report=lambda now, metrics: later.append(now))
    assert later == list(range(epoch + 1, 4))
    assert resumed.metrics == result.metrics
    for table in TABLES:
        assert _timeless(_rows(tmp_path, table)) == _timeless(_rows(reference, table))


def test_a_trial_interrupted_while_measuring_keeps_what_it_has(tmp_path, finished, digits, monkeypatch):
    result, _, _ = finished
    measured, original = [], trial.measure

    def interrupted(config, data, vae, number):
        measured.append(number)
        if len(measured) == 2:
            raise Interrupted
        return original(config, data, vae, number)

    monkeypatch.setattr(trial, "measure", interrupted)
    with pytest.raises(Interrupted):
        run_trial(_config(), tmp_path, data=digits)
    assert run_trial(_config(), tmp_path, data=digits).metrics == result.metrics
    assert measured == [0, 1, 1]


def test_a_damaged_checkpoint_starts_again_to_the_same_numbers(tmp_path, finished, digits):
    result, _, _ = finished

    def stop(epoch, metrics):
        if epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_trial(_config(), tmp_path, data=digits, report=stop)
    path = tmp_path / "checkpoints" / "training.pt"
    path.write_bytes(path.read_bytes()[:1000])
    assert run_trial(_config(), tmp_path, data=digits).metrics == result.metrics
    assert path.with_name("training.pt.damaged").exists()


def test_saving_is_throttled(tmp_path, digits, monkeypatch):
    saved, original = [], trial.checkpoints.save
    monkeypatch.setattr(trial.checkpoints, "save", lambda path, *rest: saved.append(path.name) or original(path, *rest))
    run_trial(_config(evaluation__pictures=False), tmp_path, data=digits)
    assert saved == ["training.pt", "replicate_0.pt", "replicate_1.pt"]


def test_the_machines_pauses_change_no_number(tmp_path, finished, digits, monkeypatch):
    """Saving after every epoch or never gives the same trial."""
    monkeypatch.setattr(trial.checkpoints.Throttle, "due", lambda self: True)
    assert run_trial(_config(), tmp_path, data=digits).metrics == finished[0].metrics


# --- what is refused ------------------------------------------------------------------------------------------------


def test_the_folder_of_another_trial_is_refused_by_key(finished):
    _, folder, _ = finished
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"holds another trial: model.latent_dim is 2 there and 4 here") as caught:
        run_trial(_config(model__latent_dim=4), folder)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"seed is 0 there and 1 here; choose another folder"):
        run_trial(_config(seed=1), folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_other_data_under_the_same_name_are_refused(tmp_path, digits):
    def stop(epoch, metrics):
        raise Interrupted

    with pytest.raises(Interrupted):
        run_trial(_config(), tmp_path, data=digits, report=stop)
    with pytest.raises(ConfigError, match=r"training\.pt: belongs to another trial: data\.checksum is"):
        run_trial(_config(), tmp_path, data=images.load(DataConfig(train_images=200, split_seed=5)))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, digits):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="file: must be a folder that can be written"):
        run_trial(_config(), tmp_path / "file", data=digits)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "abacus"}, "device must be one that torch can use, got 'abacus'"),
        ({"device": "cuda:99"}, "device must be one that torch can use, got 'cuda:99'"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
    ],
)
def test_bad_arguments(tmp_path, digits, arguments, message):
    with pytest.raises(ConfigError, match=message):
        run_trial(_config(), tmp_path, data=digits, **arguments)


def test_threads_are_set(tmp_path, digits):
    before = torch.get_num_threads()
    try:
        result = run_trial(_config(evaluation__pictures=False, replicates=1), tmp_path, data=digits, threads=1)
        assert torch.get_num_threads() == 1
        assert result.record["environment"]["threads"] == 1
    finally:
        torch.set_num_threads(before)


# --- divergence -----------------------------------------------------------------------------------------------------


def test_divergence_fails_the_trial_and_loses_nothing(tmp_path, digits, monkeypatch):
    from pipeline.training.replicate import Replicate

    original = Replicate._update

    def poisoned(self, index, progress):
        if self.number == 1 and progress >= 1:
            with torch.no_grad():
                next(self.vae.decoder.parameters()).fill_(float("nan"))
        return original(self, index, progress)

    monkeypatch.setattr(Replicate, "_update", poisoned)
    for _ in range(2):  # and again from the folder, in the same way
        with pytest.raises(TrainingDiverged, match=r"replicate 1 diverged: loss is nan in step 5 \(epoch 2\)"):
            run_trial(_config(), tmp_path, data=digits)
        assert [(row["replicate"], row["epoch"]) for row in _rows(tmp_path, "history")] == [
            (0, 0),
            (0, 1),
            (0, 2),
            (1, 0),
            (1, 1),
        ]
        assert {row["status"] for row in _rows(tmp_path, "replicates")} == {"diverged"}
        assert not (tmp_path / "result.json").exists()


# --- every key arrives ----------------------------------------------------------------------------------------------

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
    runs, original = [], trial.Training

    def spy(*arguments):
        runs.append(original(*arguments))
        return runs[-1]

    def stop(*arguments):
        raise Interrupted

    monkeypatch.setattr(trial, "Training", spy)
    monkeypatch.setattr(trial, "measure", stop)
    value, read = ARRIVALS[key]
    config = parse(override(BASE, {"evaluation.pictures": False, key: value}))
    with pytest.raises(Interrupted):
        run_trial(config, tmp_path)
    assert read(runs[0]) == value


# --- measuring again ------------------------------------------------------------------------------------------------


def test_the_same_sizes_give_the_same_measurement(tmp_path, digits):
    result = run_trial(_config(replicates=1, evaluation__pictures=False), tmp_path, data=digits)
    before = (tmp_path / "result.json").read_bytes()
    again = evaluate_trial(tmp_path, data=digits)
    assert again.metrics == result.metrics
    larger = evaluate_trial(tmp_path, {"evaluation.num_importance_samples": [1, 4, 16]}, data=digits)
    assert larger.metrics["test.iwae_16"] > larger.metrics["test.iwae_1"]
    assert larger.metrics["validation.elbo"] == result.metrics["validation.elbo"]
    assert larger.folder.parent == again.folder.parent == tmp_path / "evaluations"
    assert (tmp_path / "result.json").read_bytes() == before


def test_measuring_again_cannot_change_what_was_trained(finished, tmp_path):
    _, folder, _ = finished
    with pytest.raises(ConfigError, match=r"model\.latent_dim: only evaluation\.\* and variance\.\* can change.*got 4"):
        evaluate_trial(folder, {"model.latent_dim": 4})
    with pytest.raises(ConfigError, match=r"evaluation\.num_sample: unknown key"):
        evaluate_trial(folder, {"evaluation.num_sample": 4})
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read: No such file"):
        evaluate_trial(tmp_path)
