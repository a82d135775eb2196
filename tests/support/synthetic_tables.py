"""The tables of a synthetic sweep, drawn from a model whose true values are known.

The truth: `bound(D) = -110 - 60 exp(-D/3) - 0.15 D` nats, minus `MONTE_CARLO_COST / L` where the KL was trained by
Monte Carlo; replicates differ by `BETWEEN_REPLICATES`, images by `BETWEEN_IMAGES`, and one draw of an estimator by its
entry in `one_draw_variance`, which falls as 1/L (iid), 0.5/L (antithetic) and L^-2 (sobol).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

BETWEEN_REPLICATES = 0.6  # nats: standard deviation of a replicate's bound
BETWEEN_IMAGES = 14.0  # nats: standard deviation of an image's bound
MONTE_CARLO_COST = 0.8  # nats: what training on k1 with L = 1 loses
PIXELS, TEST_IMAGES, STUDY_IMAGES, STUDY_DRAWS = 64, 270, 128, 1024
FLOOR = -137.0  # nats: the z-free histogram
L_GRID = (1, 2, 4, 8, 16, 32, 64, 128)
K_GRID = (1, 8, 64)
QUANTITIES = (
    "k1",
    "k3",
    "cross_entropy",
    "reconstruction",
    "elbo_closed_form",
    "elbo_monte_carlo",
    "elbo_control_variate",
    "iwae",
)
SCHEMES = {"iid": (1.0, -1.0), "antithetic": (0.5, -1.0), "sobol": (1.0, -2.0)}  # factor and slope of Var against L
HOSTILE = '<script>alert("x")</script> & ünïcödé \n| `` {{ 7*7 }} ' + "long " * 40


@dataclass(frozen=True)
class Options:
    name: str = "synthetic"
    seed: int = 0
    dims: tuple[int, ...] = (2, 4, 8, 16)
    estimators: tuple[str, ...] = ("closed_form", "monte_carlo")
    num_samples: tuple[int, ...] = (1, 4)
    replicates: int = 3
    search_trials: int = 6
    confirm_trials: int = 2
    trials: int | None = None
    """Total number of trials (None: factorial + search + confirm)."""
    failed: int = 0
    """The last so many trials before confirmation have failed; 10**6: all of them."""
    stopped: int = 0
    running: int = 0
    suspect: int = 0
    epochs: int = 10
    variance_study: bool = True
    gradients: bool = True
    evidence: bool = True
    calibration: bool = True
    pictures: bool = True
    hostile: bool = False
    """Strings of the configuration, reasons and names that break careless HTML, Markdown and CSV."""
    state: str = "finished"


# --- the truth ------------------------------------------------------------------------------------------------------


def true_bound(latent_dim: Any, estimator: Any, num_samples: Any) -> Any:
    """Expected test ELBO in nats of a configuration."""
    d = np.asarray(latent_dim, dtype=float)
    lost = np.where(
        np.asarray(estimator) == "closed_form", 0.0, MONTE_CARLO_COST / np.asarray(num_samples, dtype=float)
    )
    return -110.0 - 60.0 * np.exp(-d / 3.0) - 0.15 * d - lost


def true_kl(latent_dim: Any) -> Any:
    """Expected KL in nats per image."""
    return 18.0 * (1.0 - np.exp(-np.asarray(latent_dim, dtype=float) / 5.0))


def one_draw_variance(quantity: str, latent_dim: Any) -> Any:
    """Variance (nats^2) of one i.i.d. draw of an estimator given x; iwae at K = 1."""
    units = np.minimum(np.asarray(latent_dim, dtype=float), 11.0)
    k1, reconstruction = 0.55 * units, 1.5 + 0.9 * units
    return {
        "k1": k1,
        "k3": 40.0 * np.exp(0.8 * units),
        "cross_entropy": 0.4 * k1,
        "reconstruction": reconstruction,
        "elbo_closed_form": reconstruction,
        "elbo_monte_carlo": 0.5 * reconstruction,
        "elbo_control_variate": 0.45 * reconstruction,
        "iwae": 0.5 * reconstruction,
    }[quantity]


# --- the tables -------------------------------------------------------------------------------------------------------


def configuration(trials: pd.DataFrame, options: Options) -> pd.DataFrame:
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
    frame = trials.loc[trials.index.repeat(options.replicates)].reset_index(drop=True)
    count, d = len(frame), frame["_latent_dim"].to_numpy(float)
    first = np.where(frame["phase"] == "confirm", options.replicates, 0)
    number = first + frame.groupby("trial").cumcount()
    lost_to_rate = 2.0 * np.log(frame["_rate"].to_numpy(float) / 1e-3) ** 2
    # Half of a replicate's deviation belongs to its seed: that is what pairing takes away.
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
    metrics: dict[str, Any] = {"test.elbo": elbo, "test.kl": kl, "test.reconstruction": -elbo - kl}
    metrics["test.elbo_monte_carlo"] = elbo + 0.02 * rng.normal(size=count)
    metrics["test.kl_monte_carlo"] = kl + 0.02 * rng.normal(size=count)
    for k in (1, 8, 64, 512):
        metrics[f"test.iwae_{k}"] = elbo + 0.35 * np.sqrt(d) * (1.0 - k**-0.5) + 0.01 * rng.normal(size=count)
    metrics["test.effective_sample_size"] = 512.0 / (1.0 + 0.3 * d)
    metrics["test.active_units"] = np.minimum(d, 11.0)
    metrics["test.mutual_information"] = kl * 0.95
    metrics["test.aggregate_kl"] = kl * 0.05
    metrics["test.approximation_gap"] = 0.3 + 0.05 * d
    metrics["test.amortisation_gap"] = 0.8 + 0.10 * d
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


def _split_metrics(split: str, elbo: Any, kl: Any) -> dict[str, Any]:
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
    return None if pd.isna(time) else time.isoformat()


def history(replicates: pd.DataFrame, options: Options, rng: np.random.Generator) -> pd.DataFrame:
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


def variance(replicates: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Every estimator, scheme and L of every replicate; errors are drawn as the kurtosis-aware formula says."""
    cells = [(q, s, n, np.nan) for q in QUANTITIES if q != "iwae" for s in SCHEMES for n in L_GRID]
    cells += [("iwae", "iid", n, float(k)) for k in K_GRID for n in L_GRID]
    grid = pd.DataFrame(cells, columns=["quantity", "sampling", "num_samples", "num_importance_samples"])
    frame = replicates[["trial", "replicate", "_latent_dim"]].merge(grid, how="cross")
    d, num_samples = frame["_latent_dim"].to_numpy(float), frame["num_samples"].to_numpy(float)
    one_draw = np.select(
        [(frame["quantity"] == q).to_numpy() for q in QUANTITIES], [one_draw_variance(q, d) for q in QUANTITIES]
    )
    factor = frame["sampling"].map({s: v[0] for s, v in SCHEMES.items()}).to_numpy(float)
    factor = np.where(num_samples == 1, 1.0, factor)  # one draw is no pair
    slope = frame["sampling"].map({s: v[1] for s, v in SCHEMES.items()}).to_numpy(float)
    inner = frame["num_importance_samples"].fillna(1.0).to_numpy(float)
    true = one_draw * factor * num_samples**slope / inner
    kurtosis = np.where(frame["quantity"] == "k3", 600.0, 12.0 / np.minimum(np.maximum(d, 1), 11) / num_samples)
    groups = STUDY_IMAGES * np.maximum(STUDY_DRAWS // num_samples // inner, 2)
    relative = np.sqrt(2.0 / (groups - 1) + kurtosis / groups)
    measured = true * np.exp(relative * rng.normal(size=len(frame)) - relative**2 / 2)
    frame["variance"], frame["standard_error"] = measured, relative * measured
    frame["low"], frame["high"] = measured * np.exp(-1.96 * relative), measured * np.exp(1.96 * relative)
    frame["excess_kurtosis"] = kurtosis
    frame["between_images"] = BETWEEN_IMAGES**2 * np.exp(0.1 * rng.normal(size=len(frame)))
    exact = (frame["quantity"] == "k1") & (frame["sampling"] == "iid")
    frame["predicted"] = np.where(exact, true, np.nan)
    frame["images"], frame["draws"] = STUDY_IMAGES, STUDY_DRAWS
    decoded = np.where(frame["quantity"].isin(["k1", "k3", "cross_entropy"]), 0.02, 1.0)
    frame["seconds"] = 2e-5 * (1.0 + num_samples * inner * decoded)
    frame["peak_memory_mib"] = None
    return frame.drop(columns="_latent_dim")


def gradients(replicates: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Signal-to-noise that follows sqrt(L), decoder sqrt(K), encoder 1/sqrt(K), and sqrt(K) again for dreg."""
    cells = [
        (p, e, "elbo", n, np.nan)
        for p in ("encoder", "decoder")
        for e in ("pathwise", "stl", "score_function")
        for n in (1, 4, 16)
    ]
    cells += [
        (p, e, "iwae", 1, k) for p in ("encoder", "decoder") for e in ("pathwise", "dreg") for k in (1.0, 8.0, 64.0)
    ]
    names = ["parameters", "estimator", "objective", "num_samples", "num_importance_samples"]
    frame = replicates[["trial", "replicate"]].merge(pd.DataFrame(cells, columns=names), how="cross")
    inner = frame["num_importance_samples"].fillna(1.0).to_numpy(float)
    weak = (frame["parameters"] == "encoder") & (frame["estimator"] == "pathwise")
    scale = np.where(frame["estimator"] == "score_function", 0.05, 2.0)
    scale = np.where(frame["parameters"] == "decoder", 4.0, scale)
    true = scale * np.sqrt(frame["num_samples"].to_numpy(float)) * inner ** np.where(weak, -0.5, 0.5)
    frame["signal_to_noise"] = true * np.exp(0.05 * rng.normal(size=len(frame)))
    frame["gradient_variance"] = 100.0 / true**2
    frame["standard_error"], frame["repeats"] = 0.05 * true, 64
    frame["seconds"] = 0.002 * frame["num_samples"] * inner
    return frame


def evidence(replicates: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Prior Monte Carlo that is within a nat once it has exp(KL) draws (its bias with fewer is a stand-in)."""
    draws = pd.DataFrame({"num_draws": [1, 10, 100, 1000, 10_000, 100_000]})
    frame = replicates[["trial", "replicate", "test.elbo", "test.kl"]].merge(
        pd.DataFrame({"image": range(8)}), how="cross"
    )
    frame["kl"] = frame["test.kl"] * np.exp(0.15 * rng.normal(size=len(frame)))
    frame["reference"] = frame["test.elbo"] + 1.5 + BETWEEN_IMAGES * rng.normal(size=len(frame))
    frame = frame.merge(draws, how="cross")
    left = frame["kl"] - np.log(frame["num_draws"].to_numpy(float))
    frame["bias"] = -np.logaddexp(0.0, left)
    frame["spread"] = np.abs(frame["bias"]) * 0.4 + 0.05
    frame["log_evidence"] = frame["reference"] + frame["bias"] + 0.1 * frame["spread"] * rng.normal(size=len(frame))
    frame["estimator"] = "prior_monte_carlo"
    best = frame[frame["num_draws"] == 1].copy()
    best["estimator"], best["num_draws"], best["bias"], best["spread"] = "importance", 4096, 0.0, 0.05
    best["log_evidence"] = best["reference"]
    frame = pd.concat([frame, best], ignore_index=True)
    return frame.drop(columns=["test.elbo", "test.kl"])


def calibration(rng: np.random.Generator) -> pd.DataFrame:
    exact = {"log_evidence": -21.4, "kl": 3.2, "elbo": -22.1}
    rows = [(e, q) for q in exact for e in ("closed_form", "monte_carlo", "control_variate", "iwae_64", "ais")]
    frame = pd.DataFrame(rows, columns=["estimator", "quantity"])
    frame["exact"] = frame["quantity"].map(exact)
    frame["standard_error"], frame["z_score"] = 0.01, rng.normal(size=len(frame))
    frame["value"] = frame["exact"] + 0.01 * frame["z_score"]
    frame["num_draws"] = 10_000
    return frame[["estimator", "quantity", "value", "exact", "standard_error", "z_score", "num_draws"]]


def importance(options: Options) -> pd.DataFrame:
    names = ["model.latent_dim", "training.learning_rate", "kl.estimator", "objective.num_samples"]
    frame = pd.DataFrame({"parameter": names, "importance": [0.71, 0.18, 0.07, 0.04]})
    return frame if options.search_trials else frame.head(0).astype({"parameter": "str"})


def references(options: Options) -> pd.DataFrame:
    rows: list[tuple[str, float, str, float]] = [
        ("histogram_floor", np.nan, s, FLOOR) for s in ("train", "validation", "test")
    ]
    rows += [("ppca", float(d), "test", float(true_bound(d, "closed_form", 1)) - 8.0) for d in options.dims]
    frame = pd.DataFrame(rows, columns=["reference", "model.latent_dim", "split", "nats"])
    frame["bits_per_dim"] = -frame["nats"] / (PIXELS * np.log(2.0))
    return frame
