"""A run folder as a sweep leaves it, with numbers whose true values are known (`synthetic_truth`).

python tests/support/synthetic.py FOLDER             # a default sweep, to look at
synthetic.write(tmp_path, dims=(2,), failed=1)       # in a test
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import synthetic_studies as studies
import synthetic_tables as tables
from PIL import Image
from synthetic_truth import HOSTILE, TEST_IMAGES, Options, true_bound

SWEPT = ["_latent_dim", "_estimator", "_num_samples", "_rate"]


def write(folder: Path | str, options: Options = Options(), **changes: Any) -> Path:  # noqa: B008
    """Write the run folder; `write(folder, dims=(2,), failed=1)` changes options. The same call, the same bytes."""
    options = Options(**{**asdict(options), **changes})
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    trials = _design(options, rng)
    alive = trials[trials["status"].isin(["finished", "stopped"])]
    measured = tables.replicates(alive, options, rng)
    frames: dict[str, pd.DataFrame] = {
        "trials": tables.with_metrics(trials, measured, options, rng),
        "replicates": measured,
        "history": tables.history(measured, options, rng),
        "importance": studies.importance(options),
        "references": studies.references(options),
    }
    if options.variance_study:
        frames["variance"] = studies.variance(measured, rng, options)
    if options.gradients:
        frames["gradients"] = studies.gradients(measured, rng, options)
    if options.evidence:
        frames["evidence"] = studies.evidence(measured, rng)
    if options.calibration:
        frames["calibration"] = studies.calibration(rng)
        frames["calibration_seeds"] = studies.calibration_seeds(options)
    for name, frame in frames.items():
        write_table(folder / f"{name}.parquet", frame.drop(columns=[c for c in frame if c.startswith("_")]))
    (folder / "sweep.json").write_text(json.dumps(_info(options, len(trials)), indent=1, ensure_ascii=False))
    (folder / "spec.yaml").write_text(f"name: {options.name}\n")
    if options.pictures:
        for number, latent_dim in zip(alive["trial"].head(12), alive["_latent_dim"].head(12)):
            _pictures(folder / "trials" / f"{number:04d}" / "pictures", int(latent_dim), rng)
    return folder


def write_table(path: Path, frame: pd.DataFrame, version: int | None = 1) -> None:
    """A parquet file with the schema version in its metadata (None: without)."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {} if version is None else {"elbosweep.schema": str(version)}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def _design(options: Options, rng: np.random.Generator) -> pd.DataFrame:
    """The list of trials: phase, status, configuration. Columns that begin with `_` are not written."""
    rows: list[tuple[str, int, str, int, float]] = [
        ("factorial", d, estimator, num_samples, 1e-3)
        for num_samples in options.num_samples
        for estimator in options.estimators
        for d in options.dims
    ]
    searches = options.search_trials if options.trials is None else max(0, options.trials - len(rows))
    for _ in range(searches):
        d, estimator = int(rng.choice(options.dims)), str(rng.choice(options.estimators))
        rate = float(np.exp(rng.uniform(np.log(3e-4), np.log(3e-3))))
        rows.append(("search", d, estimator, int(rng.choice(options.num_samples)), rate))
    if options.trials is None:
        best = sorted(rows, key=lambda row: -float(true_bound(row[1], row[2], row[3])))
        rows += [("confirm", *row[1:]) for row in best[: options.confirm_trials]]
    else:
        rows = rows[: options.trials]
    frame = pd.DataFrame(rows, columns=["phase", *SWEPT])
    frame.insert(0, "trial", np.arange(len(frame)))
    frame["config_hash"] = [hashlib.sha256(repr(tuple(r)).encode()).hexdigest()[:16] for r in frame[SWEPT].to_numpy()]
    return _with_endings(frame, options)[["trial", "phase", *SWEPT, "status", "reason", "suspect", "config_hash"]]


def _with_endings(frame: pd.DataFrame, options: Options) -> pd.DataFrame:
    """How each trial ended and why; trials of the confirmation come last and have finished, if others can fail."""
    count = len(frame)
    ending = ["failed"] * options.failed + ["stopped"] * options.stopped + ["running"] * options.running
    able = np.flatnonzero(frame["phase"] != "confirm") if len(ending) < count else np.arange(count)
    ending = ending[: len(able)]
    frame["status"] = "finished"
    frame.loc[able[len(able) - len(ending) :], "status"] = ending[::-1]
    frame["reason"] = frame["status"].map(
        {
            "failed": HOSTILE
            if options.hostile
            else "TrainingDiverged: loss is nan at step 412 (training.learning_rate 10.0)",
            "stopped": "ASHA: below the best third at epoch 4",
        }
    )
    reason = HOSTILE if options.hostile else "ladder: test.elbo -118.2 is above test.iwae_8 -118.9 by 6 standard errors"
    frame["suspect"] = [json.dumps([reason] if number < options.suspect else []) for number in range(count)]
    return frame


def _info(options: Options, count: int) -> dict[str, Any]:
    """`sweep.json` of a sweep with so many trials."""
    text = HOSTILE if options.hostile else "A synthetic sweep whose true values are known."
    return {
        "schema": 1,
        "name": options.name,
        "state": options.state,
        "spec": {
            "name": options.name,
            "description": text,
            "factors": {"model.latent_dim": list(options.dims), "kl.estimator": list(options.estimators)},
            "search": {
                "sampler": "tpe",
                "trials": options.search_trials,
                "metric": "validation.elbo",
                "seed": options.seed,
            },
        },
        "command": "elbosweep run specs/synthetic.yaml",
        "git": {"revision": "0" * 40, "dirty": False},
        "versions": {"elbosweep": "0.1.0", "torch": "2.14.1", "optuna": "4.6.0", "ray": "2.52.0"},
        "hardware": {"machine": "x86_64", "system": "Linux", "cores": 2, "memory_gib": 8.0, "gpus": []},
        "data": {
            "name": f"npz:{HOSTILE}" if options.hostile else "digits",
            "checksum": "c0ffee" * 10,
            "levels": 16,
            "image_shape": [8, 8],
            "train": 1257,
            "validation": 270,
            "test": TEST_IMAGES,
        },
        "resumed": 0,
        "resources": {"workers": 2, "cpus": 1, "gpus": 0},
        "started": "2026-01-05T09:00:00+00:00",
        "ended": "2026-01-05T09:30:00+00:00",
        "seconds": 20.0 * count,
    }


def _pictures(folder: Path, latent_dim: int, rng: np.random.Generator) -> None:
    """A trial's pictures: noise, under the names that a trial uses."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["samples_epoch_0000.png", "samples_epoch_0005.png", "samples_final.png", "reconstructions.png"]
    for name in [*names, "manifold.png" if latent_dim == 2 else "traversals.png"]:
        blobs = np.kron(rng.integers(0, 256, size=(16, 16), dtype=np.uint8), np.ones((8, 8), dtype=np.uint8))
        Image.fromarray(blobs).save(folder / name)


if __name__ == "__main__":
    print(write(sys.argv[1]))
