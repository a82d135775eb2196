"""The tables of a synthetic sweep's studies, drawn from the truth: variance, gradients, evidence, calibration."""

from __future__ import annotations

import numpy as np
import pandas as pd
from synthetic_truth import (
    BETWEEN_IMAGES,
    FLOOR,
    K_GRID,
    L_GRID,
    PIXELS,
    QUANTITIES,
    SCHEMES,
    STUDY_DRAWS,
    STUDY_IMAGES,
    Options,
    one_draw_variance,
    true_bound,
)

ESTIMATORS = ("closed_form", "monte_carlo", "control_variate", "iwae_64", "ais")
"""Whose calibration is drawn."""


def variance(replicates: pd.DataFrame, rng: np.random.Generator, options: Options) -> pd.DataFrame:
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
    return _with_streams(frame.drop(columns="_latent_dim"), "variance", options)


def gradients(replicates: pd.DataFrame, rng: np.random.Generator, options: Options) -> pd.DataFrame:
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
    return _with_streams(frame, "gradients", options)


def _with_streams(frame: pd.DataFrame, study: str, options: Options) -> pd.DataFrame:
    """The rows with the stream of their draws, one for each replicate of each trial."""
    if not options.streams:
        return frame
    pairs = frame[["trial", "replicate"]].astype("str")
    return frame.assign(stream=study + " " + pairs["trial"] + " " + pairs["replicate"])


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
    """Estimators that are right: their z scores are standard normal, and a deterministic one is off by a rounding."""
    exact = {"log_evidence": -21.4, "kl": 3.2, "elbo": -22.1}
    rows = [(e, q) for q in exact for e in ESTIMATORS]
    frame = pd.DataFrame(rows, columns=["estimator", "quantity"])
    frame["exact"], frame["compared"] = frame["quantity"].map(exact), "standard error"
    frame["standard_error"], frame["z_score"] = 0.01, rng.normal(size=len(frame))
    frame["value"] = frame["exact"] + 0.01 * frame["z_score"]
    frame["num_draws"], frame["ulps"] = 10_000, np.nan
    sure = {"estimator": "exact", "quantity": "kl", "exact": 3.2, "compared": "ulp", "value": 3.2, "num_draws": 0}
    frame = pd.concat([frame, pd.DataFrame([{**sure, "ulps": 1.0}])], ignore_index=True)
    names = ["estimator", "quantity", "value", "exact", "compared", "standard_error", "z_score", "ulps", "num_draws"]
    return frame[names]


def calibration_seeds(options: Options, seeds: int = 20) -> pd.DataFrame:
    """The same over many seeds, whose rows share draws as real ones do: two of a quantity have a correlation of 0.7."""
    rng = np.random.default_rng(1000 + options.seed)
    frames = []
    for seed in range(seeds):
        shared = rng.normal(size=3)
        rows = [(e, q, shared[place]) for place, q in enumerate(("log_evidence", "kl", "elbo")) for e in ESTIMATORS]
        frame = pd.DataFrame(rows, columns=["estimator", "quantity", "z_score"])
        frame["z_score"] = np.sqrt(0.7) * frame["z_score"] + np.sqrt(0.3) * rng.normal(size=len(frame))
        frames.append(frame.assign(seed=seed, compared="standard error", ulps=np.nan))
        sure = {"estimator": "exact", "quantity": "kl", "seed": seed, "compared": "ulp", "ulps": float(seed % 3)}
        frames.append(pd.DataFrame([{**sure, "z_score": np.nan}]))
    table = pd.concat(frames, ignore_index=True).assign(version="0.0")
    return table[["seed", "estimator", "quantity", "compared", "z_score", "ulps", "version"]]


def importance(options: Options) -> pd.DataFrame:
    """Shares of the metric's variation among the trials of the search; none without one."""
    names = ["model.latent_dim", "training.learning_rate", "kl.estimator", "objective.num_samples"]
    frame = pd.DataFrame({"parameter": names, "importance": [0.71, 0.18, 0.07, 0.04], "null": 0.25})
    frame["trials"] = options.search_trials
    return frame if options.search_trials else frame.head(0).astype({"parameter": "str"})


def references(options: Options) -> pd.DataFrame:
    """The histogram without z on every split, and pPCA 8 nats below the bound."""
    rows: list[tuple[str, float, str, float]] = [
        ("histogram_floor", np.nan, s, FLOOR) for s in ("train", "validation", "test")
    ]
    rows += [("ppca", float(d), "test", float(true_bound(d, "closed_form", 1)) - 8.0) for d in options.dims]
    frame = pd.DataFrame(rows, columns=["reference", "model.latent_dim", "split", "nats"])
    frame["bits_per_dim"] = -frame["nats"] / (PIXELS * np.log(2.0))
    return frame
