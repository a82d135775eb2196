"""The state of a sweep, kept in its sweep.json beside its provenance; written by the sweep's one driver."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipeline.files import read_json, write_json
from sweeps.layout import STATE
from sweeps.record.times import now


class State(StrEnum):
    """How a sweep stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    """All trials are over, and some of them failed."""
    INTERRUPTED = "interrupted"
    KILLED = "killed"
    """Never written: the file says `running`, and no driver is at work on the sweep."""


def read(folder: Path) -> dict[str, Any]:
    """What sweep.json holds; empty where there is none."""
    path = folder / STATE
    return dict(read_json(path)) if path.exists() else {}


def write(folder: Path, state: State, info: Mapping[str, Any], **outcome: Any) -> None:
    """Write sweep.json: where the sweep comes from, how it stands now, and what came out so far."""
    write_json(folder / STATE, {**info, "state": str(state), "ended": now(), **outcome})


def mark_interrupted(folder: Path) -> None:
    """Note that the driver was stopped; a sweep whose trials had all ended stays what it was."""
    info = read(folder)
    if info.get("state") == State.RUNNING:
        write(folder, State.INTERRUPTED, info)
