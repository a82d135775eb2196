"""The tables of a synthetic sweep's trials, drawn from the truth: configuration, replicates, metrics, history."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from synthetic_truth import (
    BETWEEN_IMAGES,
    BETWEEN_REPLICATES,
    HOSTILE,
    L_GRID,
    PIXELS,
    STUDY_DRAWS,
    STUDY_IMAGES,
    TEST_IMAGES,
    Options,
    one_draw_variance,
    true_bound,
    true_kl,
)


def configuration(trials: pd.DataFrame, options: Options) -> pd.DataFrame:
    """The configuration of every trial, by its dotted keys."""
    fixed: dict[str, object] = {
        "data.name": f"npz:{HOSTILE}" if options.hostile else "digits",
        "data.levels": 16,
        "data.binarization": "none",
        "data.split_seed": 0,
        "data.train_images": None,
        "model.network.name": "mlp",
        "model.network.hidden": "[256, 256]",
        "model.posterior.name": "gaussian",
        "model.prior.name": "standard_normal",
        "model.likelihood.name": "categorical",
        "objective.name": "elbo",
        "objective.sampling": "iid",
        "objective.beta": 1.0,
        "gradient.estimator": "pathwise",
        "training.epochs": options.epochs,
        "training.batch_size": 128,
        "training.precision": "float32",
        "evaluation.num_samples": 16,
        "evaluation.num_importance_samples": "[1, 8, 64, 512]",
        "variance.images": STUDY_IMAGES if options.variance_study else 0,
        "variance.draws": STUDY_DRAWS,
        "variance.num_samples": json.dumps(list(L_GRID)),
        "replicates": options.replicates,
        "seed": 0,
    }
    swept = {
        "model.latent_dim": trials["_latent_dim"],
        "kl.estimator": trials["_estimator"],
        "objective.num_samples": trials["_num_samples"],
        "training.learning_rate": trials["_rate"],
        "first_replicate": np.where(trials["phase"] == "confirm", options.replicates, 0),
    }
    return pd.DataFrame({**fixed, **swept}, index=trials.index)


def replicates(trials: pd.DataFrame, options: Options, rng: np.random.Generator) -> pd.DataFrame:
    """Metrics and times of every replicate; half of a replicate's deviation belongs to its seed."""
    frame = trials.loc[trials.index.repeat(options.replicates)].reset_index(drop=True)
    count, d = len(frame), frame["_latent_dim"].to_numpy(float)
    first = np.where(frame["phase"] == "confirm", options.replicates, 0)
    number = first + frame.groupby("trial").cumcount()
    lost_to_rate = 2.0 * np.log(frame["_rate"].to_numpy(float) / 1e-3) ** 2
    # What belongs to the seed is what pairing takes away.
    seeds = rng.normal(size=2 * options.replicates)
    deviation = np.sqrt(0.5) * (seeds[number.to_numpy(int)] if count else np.empty(0)) + np.sqrt(0.5) * rng.normal(
        size=count
    )
    unfinished = np.where(frame["status"] == "stopped", 25.0, 0.0)
    elbo = true_bound(d, frame["_estimator"], frame["_num_samples"]) - lost_to_rate - unfinished
    elbo = elbo + BETWEEN_REPLICATES * deviation
    kl = true_kl(d) + 0.1 * rng.normal(size=count)
    error = np.full(count, BETWEEN_IMAGES / np.sqrt(TEST_IMAGES))
    ratio_error = np.full(count, 0.004)
    metrics = _test_metrics(elbo, kl, d, rng)
    out = pd.DataFrame(
        {
            "trial": frame["trial"],
            "replicate": number,
            "seed": 1000 + number,
            "best_epoch": options.epochs,
            "epochs": options.epochs,
            "status": frame["status"],
            **_split_metrics("train", elbo + 1.5, kl),
            **_split_metrics("validation", elbo + 0.3 * rng.normal(size=count), kl),
            **metrics,
            **{f"{name}.standard_error": error for name in metrics},
            "test.bits_per_dim": -elbo / (PIXELS * np.log(2.0)),
            "test.bits_per_dim.standard_error": error / (PIXELS * np.log(2.0)),
            "variance.k1": one_draw_variance("k1", d),
            "variance.k1.standard_error": ratio_error * one_draw_variance("k1", d),
            "variance.k1_slope": -1.0 + 0.01 * rng.normal(size=count),
            "variance.k1_slope.standard_error": np.full(count, 0.01),
            "variance.k1_ratio": 1.0 + ratio_error * rng.normal(size=count),
            "variance.k1_ratio.standard_error": ratio_error,
            "seconds.training": (4.0 + 0.05 * d) * np.exp(0.05 * rng.normal(size=count)),
            "_latent_dim": frame["_latent_dim"],
        }
    )
    return out if options.variance_study else out.drop(columns=[c for c in out if c.startswith("variance.")])


def _test_metrics(elbo: Any, kl: Any, d: Any, rng: np.random.Generator) -> dict[str, Any]:
    """What the test split shows of replicates with these bounds and KLs."""
    count = len(d)
    metrics: dict[str, Any] = {"test.elbo": elbo, "test.kl": kl, "test.reconstruction": -elbo - kl}
    metrics["test.elbo_monte_carlo"] = elbo + 0.02 * rng.normal(size=count)
    metrics["test.kl_monte_carlo"] = kl + 0.02 * rng.normal(size=count)
    for k in (1, 8, 64, 512):
        metrics[f"test.iwae_{k}"] = elbo + 0.35 * np.sqrt(d) * (1.0 - k**-0.5) + 0.01 * rng.normal(size=count)
    metrics["test.effective_sample_size"] = 512.0 / (1.0 + 0.3 * d)
    metrics["test.active_units"] = np.minimum(d, 11.0)
    metrics["test.pareto_k"] = 0.1 + 0.02 * d
    metrics["test.pareto_k_unreliable"] = 0.005 * d
    metrics["test.mutual_information"] = np.minimum(kl * 0.95, np.log(269.0) - 0.01)
    metrics["test.mutual_information_upper"] = kl
    metrics["test.mutual_information_cap"] = np.full(count, np.log(269.0))
    metrics["test.aggregate_kl"] = kl - metrics["test.mutual_information"]
    metrics["test.aggregate_kl_lower"] = np.zeros(count)
    metrics["test.approximation_gap"] = 0.3 + 0.05 * d
    metrics["test.amortisation_gap"] = 0.8 + 0.10 * d
    return metrics


def _split_metrics(split: str, elbo: Any, kl: Any) -> dict[str, Any]:
    """The four metrics of a split."""
    bits = -elbo / (PIXELS * np.log(2.0))
    return {
        f"{split}.elbo": elbo,
        f"{split}.reconstruction": -elbo - kl,
        f"{split}.kl": kl,
        f"{split}.bits_per_dim": bits,
    }


def with_metrics(
    trials: pd.DataFrame, replicates: pd.DataFrame, options: Options, rng: np.random.Generator
) -> pd.DataFrame:
    """The table of trials: configuration, means over replicates with their errors, seconds, times."""
    means = [c for c in replicates if c.partition(".")[0] in ("train", "test", "validation", "variance")]
    means = [c for c in means if not c.endswith(".standard_error")]
    groups = replicates.groupby("trial")[means]
    summary = groups.mean().join(groups.sem().add_suffix(".standard_error"))
    seconds = replicates.groupby("trial")["seconds.training"].sum()
    count = len(trials)
    start = pd.Timestamp("2026-01-05T09:00:00+00:00") + pd.to_timedelta(20 * trials["trial"], unit="s")
    end = (start + pd.Timedelta(19, unit="s")).where(trials["status"] != "running")
    timed = {
        "seconds.training": trials["trial"].map(seconds),
        "seconds.evaluation": 2.0 + rng.random(count),
        "seconds.variance": (1.5 if options.variance_study else 0.0) + 0.2 * rng.random(count),
        "seconds.gradients": 0.5 + 0.1 * rng.random(count),
        "seconds.pictures": 0.3 + 0.1 * rng.random(count),
        "seconds.orchestration": 0.4 + 0.2 * rng.random(count),
        "seconds.tracking": 0.1 + 0.1 * rng.random(count),
    }
    base = pd.concat([trials, configuration(trials, options), pd.DataFrame(timed)], axis=1)
    base["started"], base["ended"] = start.map(pd.Timestamp.isoformat), end.map(_iso)
    base["device"] = "cpu"
    return base.merge(summary, left_on="trial", right_index=True, how="left")


def _iso(time: pd.Timestamp) -> str | None:
    """A time as text; None where the trial has not ended."""
    return None if pd.isna(time) else time.isoformat()


def history(replicates: pd.DataFrame, options: Options, rng: np.random.Generator) -> pd.DataFrame:
    """Training curves that rise from -178 nats to the replicate's own bound."""
    epochs = pd.DataFrame({"epoch": np.arange(options.epochs + 1)})
    keys = replicates[["trial", "replicate", "test.elbo", "test.kl", "seconds.training"]].merge(epochs, how="cross")
    progress = 1.0 - np.exp(-4.0 * keys["epoch"] / max(options.epochs, 1))
    elbo = -178.0 + (keys["test.elbo"] + 178.0) * progress + 0.2 * rng.normal(size=len(keys))
    kl = keys["test.kl"] * progress
    out = pd.DataFrame({"trial": keys["trial"], "replicate": keys["replicate"], "epoch": keys["epoch"]})
    out["step"], out["train.loss"] = 10 * keys["epoch"], -elbo
    for split, shift in (("train", 1.5), ("validation", 0.0)):
        out = out.assign(**_split_metrics(split, elbo + shift, kl))
    trained = [c for c in out if c.startswith("train.")]
    out.loc[out["epoch"] == 0, trained] = np.nan  # epoch 0 is the model before training
    out["training.learning_rate"] = 1e-3
    out["seconds"] = keys["seconds.training"] * keys["epoch"] / max(options.epochs, 1)
    return out
