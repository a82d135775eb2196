"""The environment of a Python process that imports what the tests import."""

from __future__ import annotations

import os
from pathlib import Path

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parents[1]


def child_environment(**changes: str) -> dict[str, str]:
    """This process's environment with the repository and tests/support on Python's path, and with `changes`."""
    before = os.environ.get("PYTHONPATH")
    path = [str(ROOT), str(SUPPORT), *([before] if before else [])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **changes}
