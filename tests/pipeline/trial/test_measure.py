"""What is measured of the draws has draws of its own in each trial, the same whenever and however it is run."""

from __future__ import annotations

import numpy as np
import torch
from small_trial import rows_of, small_config

from pipeline.config import config_hash
from pipeline.model.vae import build_vae
from pipeline.probability.sampling import replicate_seed
from pipeline.trial import run_trial
from pipeline.trial.measure import measure

QUICK = {
    "evaluation__max_images": 2,
    "evaluation__gap_images": 0,
    "evaluation__prior_draws": 0,
    "variance__sampling": ["iid"],
    "variance__gradient_repeats": 4,
}


def streams(rows: list[dict[str, object]]) -> dict[object, set[object]]:
    """Replicate -> the streams that its rows name."""
    found: dict[object, set[object]] = {}
    for row in rows:
        found.setdefault(row["replicate"], set()).add(row["stream"])
    return found


def test_each_replicate_of_each_trial_has_streams_of_its_own(tmp_path, digits):
    named = []
    for number, width in enumerate((16, 17)):
        folder = tmp_path / str(number)
        run_trial(small_config(model__network__hidden=[width], training__epochs=1, **QUICK), folder, data=digits)
        for table in ("variance", "gradients"):
            found = streams(rows_of(folder, table))
            assert set(found) == {0, 1}
            assert all(len(one) == 1 for one in found.values())
            named += [stream for one in found.values() for stream in one]
    assert len(set(named)) == len(named) == 8


def test_trials_no_longer_agree_because_they_share_draws(digits):
    """One model measured as two trials: the errors of k1's ratio would be equal if the draws were."""
    config = small_config(variance__images=8, **QUICK)
    vae = build_vae(
        config.model, image_shape=digits.image_shape, levels=digits.levels, generator=torch.Generator().manual_seed(0)
    )
    hashes = [config_hash(small_config(training__epochs=epochs)) for epochs in (1, 2)]
    ratios = np.array(
        [
            [measure(config, digits, vae, number, one)["metrics"]["variance.k1_ratio"] for one in hashes]
            for number in range(24)
        ]
    )
    assert abs(np.corrcoef(ratios.T)[0, 1]) < 0.65  # four standard errors of no correlation
    assert measure(config, digits, vae, 3, hashes[0])["metrics"]["variance.k1_ratio"] == ratios[3, 0]


def test_all_other_draws_stay_those_of_the_replicate(digits):
    config = small_config(variance__images=0, **QUICK)
    vae = build_vae(
        config.model, image_shape=digits.image_shape, levels=digits.levels, generator=torch.Generator().manual_seed(0)
    )
    one, other = (
        measure(config, digits, vae, 1, config_hash(small_config(seed=0, training__epochs=e)))["metrics"]
        for e in (1, 2)
    )
    assert one == other
    assert replicate_seed(0, 1, "evaluation") == replicate_seed(config.seed, 1, "evaluation")
