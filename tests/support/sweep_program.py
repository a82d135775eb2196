"""A sweep of fake trials as a program of its own, started and resumed by tests that interrupt or kill it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from fake_trial import SWEEP, FakeTrial
from programs import Program


def start(
    command: str,
    runs_dir: Path,
    tree: Mapping[str, Any],
    trial: FakeTrial,
    *,
    workers: int = 2,
    environment: Mapping[str, str] | None = None,
) -> Program:
    """`run` or `resume` the sweep of a specification (as YAML holds it, with a name) below `runs_dir`."""
    path = runs_dir / f"{tree['name']}.yaml"
    path.write_text(yaml.safe_dump(dict(tree)))
    arguments = [command, str(runs_dir), str(path), str(workers), trial.to_json()]
    without_wandb = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    return Program(
        [sys.executable, str(SWEEP), *arguments],
        environment={**without_wandb, **(environment or {})},
        session=True,
        before=_hear_signals,
    )


def _hear_signals() -> None:
    """A shell that runs the tests in the background, or nohup, has made them deaf to some."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
