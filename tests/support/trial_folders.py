"""A trial folder as the pipeline writes it, made without training (and without importing PyTorch)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from sweeps.tracking import offline
from sweeps.tracking.epochs import metrics_by_epoch
from sweeps.tracking.trial_runs import TrialRuns

CONFIG = {"model.latent_dim": 8, "model.network.name": "mlp", "kl.estimator": "monte_carlo", "replicates": 2}
METRICS = {"test.elbo": -90.5, "test.elbo.standard_error": 0.25, "validation.elbo": -95.5}


def history_rows(epochs: int, replicates: int = 2) -> list[dict[str, Any]]:
    return [
        {
            "replicate": replicate,
            "epoch": epoch,
            "step": 10 * epoch,
            "train.loss": None if epoch == 0 else 200.0 / epoch + replicate,
            "validation.elbo": -200.0 + epoch - replicate,
            "validation.bits_per_dim": 4.0 / (1 + epoch),
            "training.learning_rate": 1e-3,
            "seconds": 0.5 * epoch,
        }
        for replicate in range(replicates)
        for epoch in range(epochs + 1)
    ]


def variance_rows() -> list[dict[str, Any]]:
    numbers = ("standard_error", "low", "high", "excess_kurtosis", "between_images", "predicted", "seconds")
    common = {"replicate": 0, "quantity": "k1", "sampling": "iid", "num_importance_samples": None}
    return [
        {**common, "num_samples": count, "variance": 2.5 / count, "images": 8, "draws": 64, **dict.fromkeys(numbers)}
        for count in (1, 2, 4)
    ]


def log_epochs(runs: TrialRuns, number: int, epochs: range) -> None:
    """Report a stretch of `history_rows`."""
    metrics = metrics_by_epoch(history_rows(epochs.stop - 1))
    for epoch in epochs:
        runs.log(number, epoch, metrics[epoch])


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_trial(run_folder: Path, number: int, epochs: int, *, finished: bool = True, replicates: int = 2) -> Path:
    """`trials/NNNN` with a history of so many epochs; a finished trial also has what is measured at the end."""
    folder = run_folder / "trials" / f"{number:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "history.jsonl", history_rows(epochs, replicates))
    if finished:
        for name in ("samples", "reconstructions"):
            (folder / "pictures").mkdir(exist_ok=True)
            Image.new("L", (56, 56), 7 * number).save(folder / "pictures" / f"{name}.png")
        write_rows(folder / "variance.jsonl", variance_rows())
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / "replicate_0.pt").write_bytes(b"weights %d" % number)
        result = {"status": "finished", "config_hash": "0123456789abcdef", "suspect": ["k > 0.7"]}
        content = {**result, "metrics": METRICS, "seconds": {"total": 3.0}}
        (folder / "result.json").write_text(json.dumps(content))
    return folder


def rows_of(sweep_folder: Path, number: int) -> dict[int, dict[str, float]]:
    """Epoch -> metrics of the trial's only run; W&B's own columns left out."""
    (file,) = [path for path in offline.run_files(sweep_folder) if offline.trial_number(path) == number]
    rows = [row for row in offline.history(file) if "epoch" in row]
    assert len({row["epoch"] for row in rows}) == len(rows)
    return {
        row["epoch"]: {name: value for name, value in row.items() if name[0] != "_" and name != "epoch"} for row in rows
    }


def run_record(sweep_folder: Path) -> dict[str, Any]:
    (file,) = offline.run_files(sweep_folder)
    return next(record["run"] for record in offline.read(file) if record["type"] == "run")


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False
