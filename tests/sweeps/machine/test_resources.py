"""What `auto` makes of a machine, and what a trial's results must not depend on."""

from __future__ import annotations

import pytest

from sweeps.machine import resources
from sweeps.specification.options import Resources
from sweeps.specification.reading import parse
from sweeps.specification.spec import SweepSpec


def specification(**parts: object) -> SweepSpec:
    return parse({"name": "t", "factors": {"model.latent_dim": [2, 8]}, **parts})


def test_auto_is_one_worker_per_core_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(resources, "available_cores", lambda: 6)
    assert resources.resolve_resources(specification()) == Resources(workers=6, cpus=1, gpus=0)


def test_auto_packs_several_trials_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(resources, "available_cores", lambda: 16)
    assert resources.resolve_resources(specification()) == Resources(workers=8, cpus=1, gpus=0.25)


def test_workers_do_not_change_the_threads_of_a_trial() -> None:
    spec = specification(resources={"workers": 2, "cpus": 3})
    assert resources.resolve_resources(spec, workers=5) == Resources(workers=5, cpus=3)
