"""Benchmarks, `make bench`. They share the tests' fakes and synthetic sweeps."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
