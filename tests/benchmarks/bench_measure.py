"""Draws of z per second in the evaluation and in the variance study, beside a bare loop over the decoder.

The bare loop decodes and scores codes in blocks that fit the cache, one after the other: what the machine can do. A
draw is one z for one image; the evaluation's are those of its largest K and of the ELBO.

    python -m tests.benchmarks.bench_measure
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch

from pipeline.config import EvaluationConfig, TrialConfig, VarianceConfig, parse
from pipeline.evaluation.evaluate import evaluate
from pipeline.training.replicate import initial_vae
from pipeline.training.validation import validate
from pipeline.variance import study as variance
from tests.benchmarks.timing import clock, images, side_by_side, table

IMAGES, LARGEST_K, DRAWS, ROUNDS, BLOCK = 32, 128, 128, 2, 256


def main() -> None:
    torch.set_num_threads(1)
    data, rows = images(IMAGES, IMAGES), []
    evaluation = EvaluationConfig(
        num_samples=16, num_importance_samples=(1, 8, LARGEST_K), gap_images=0, prior_draws=0, pictures=False
    )
    study = VarianceConfig(images=16, draws=DRAWS, num_samples=(1, 4, 16), num_importance_samples=(1, 8))
    for network in ("mlp", "cnn"):
        config: TrialConfig = parse({"model": {"latent_dim": 20, "network": {"name": network}}})
        vae = initial_vae(config, data, 0).eval()
        x = data.test[:1].expand(BLOCK, -1, -1)
        z = torch.randn(1, BLOCK, vae.latent_dim, generator=torch.Generator().manual_seed(0))

        def bare(vae=vae, x=x, z=z) -> None:  # type: ignore[no-untyped-def]
            with torch.inference_mode():
                for _ in range(8):
                    vae.log_px_z(x, z)

        runs: dict[str, tuple[int, Callable[[], object]]] = {
            "bare decoder": (8 * BLOCK, bare),
            "validation": (
                2 * 8 * IMAGES,
                lambda vae=vae: validate(vae, data.test.repeat(8, 1, 1), closed_form=True, seed=0),
            ),
            "evaluation": (IMAGES * (LARGEST_K + 16), lambda vae=vae: evaluate(vae, data.test, evaluation, seed=0)),
            "variance study": (
                study.images * study.draws * len(study.sampling),
                lambda vae=vae: variance.study(vae, data.test, study, seed=0),
            ),
        }
        seconds = side_by_side({name: clock(run) for name, (_, run) in runs.items()}, ROUNDS)
        speed = {name: draws / seconds[name] for name, (draws, _) in runs.items()}
        rows += [[network, name, round(speed[name]), speed[name] / speed["bare decoder"]] for name in runs]
    print(f"28 x 28, 16 levels, 1 thread, load {os.getloadavg()[0]:.1f}")
    table(["network", "what", "draws / s", "of the bare decoder"], rows)


if __name__ == "__main__":
    main()
