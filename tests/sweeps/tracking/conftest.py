"""No account, and runs that are closed after each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.specification.options import TrackingConfig
from sweeps.tracking.trial_runs import TrialRuns


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def warnings_shown() -> list[str]:
    return []


@pytest.fixture
def make_runs(tmp_path: Path, warnings_shown: list[str]) -> Iterator[Callable[..., TrialRuns]]:
    made: list[TrialRuns] = []

    def make(**settings: Any) -> TrialRuns:
        made.append(TrialRuns(tmp_path, "demo", TrackingConfig(**settings), warnings_shown.append))
        return made[-1]

    yield make
    for runs in made:
        runs.close()
