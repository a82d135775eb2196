"""A configuration is read without torch, so that commands which only read answer at once."""

from __future__ import annotations

import subprocess
import sys

SLOW = ("torch", "numpy", "jaxtyping", "zuko", "scipy")


def test_a_configuration_is_parsed_without_torch() -> None:
    """The rules included: they ask every estimator what it needs."""
    tree = {"kl": {"estimator": "control_variate"}, "objective": {"num_samples": 4, "sampling": "sobol"}}
    code = (
        f"import sys; from pipeline.config import parse; parse({tree!r}); "
        f"print(*(name for name in {SLOW!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
