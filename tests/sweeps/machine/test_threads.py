"""A worker uses the threads of its resources, in torch and in OpenMP, and keeps the memory that a step gives back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.cloudpickle
from rich.console import Console

from pipeline.config import TrialConfig
from pipeline.data.images import ImageData
from pipeline.files import write_json
from sweeps.running import sweep
from sweeps.running.ray_session import session
from sweeps.specification.reading import parse
from sweeps.specification.spec import Resources

# Ray leaves sockets and files to the garbage collector when it shuts down, and Tune warns about its own future.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray"),
]
TREE: dict[str, Any] = {
    "base": {
        "model": {"latent_dim": 2, "network": {"name": "mlp", "hidden": [8]}},
        "training": {"epochs": 1},
        "evaluation": {"gap_images": 0, "prior_draws": 0, "num_importance_samples": [1], "pictures": False},
        "variance": {"images": 0, "gradient_repeats": 0},
        "replicates": 1,
    },
    "factors": {"model.latent_dim": [2]},
    "tracking": {"wandb": "disabled"},
}


def observed_trial(config: TrialConfig, folder: Path, **arguments: Any) -> object:
    """The real trial, with what its thread sees while it trains."""
    import torch

    from pipeline.trial import run_trial

    report: Callable[[int, dict[str, float]], None] = arguments.pop("report")

    def observe(epoch: int, metrics: dict[str, float]) -> None:
        environment = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MALLOC_ARENA_MAX")}
        write_json(folder / "seen.json", {"torch": torch.get_num_threads(), **environment})
        report(epoch, metrics)

    data: ImageData = arguments.pop("data")
    return run_trial(config, folder, data=data, report=observe, **arguments)


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """One Ray for the module, whose workers get the test's function by value, and no number of threads from outside."""
    module = __import__(__name__)
    ray.cloudpickle.register_pickle_by_value(module)
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("OMP_NUM_THREADS", raising=False)
        with session(Resources(workers=1, cpus=2)):
            yield
    ray.cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_worker_has_the_threads_of_its_resources(tmp_path: Path, cpus: int) -> None:
    spec = parse({"name": f"threads-{cpus}", **TREE, "resources": {"workers": 1, "cpus": cpus, "gpus": 0}})
    setting = sweep.Setting(tmp_path, function=observed_trial, console=Console(quiet=True))
    assert sweep.start(spec, setting) == 0
    seen = json.loads((tmp_path / spec.name / "trials" / "0000" / "seen.json").read_text())
    assert seen == {"torch": cpus, "OMP_NUM_THREADS": str(cpus), "MALLOC_ARENA_MAX": "1"}
