"""The W&B run of one trial: opened, filled epoch by epoch, completed from the trial's folder.

The tables in the sweep's folder are the record and W&B holds a copy of it, so a run is never patched: where one was
left unfinished (a kill, a dead W&B service), a new run under the same id takes over everything that is known and
replaces it: offline, a trial is one run on disk. Online, the server goes on with its run from the row that it has.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.files import read_rows
from pipeline.layout import CHECKPOINTS, CONFIG, HISTORY, LONG_TABLES, PICTURES, RESULT, rows_file
from sweeps.layout import RECORD, trial_folder, trial_name
from sweeps.specification.options import TrackingConfig, WandbMode
from sweeps.tracking import offline
from sweeps.tracking.client import start_run
from sweeps.tracking.epochs import PATTERNS, SUMMARIES, metrics_by_epoch, metrics_in_runs

if TYPE_CHECKING:
    import wandb

EXIT_CODES = {"finished": 0, "stopped": 0, "failed": 1, "interrupted": 255}
FILES = (RECORD, RESULT, *map(rows_file, LONG_TABLES))
"""What the tables are collected from travels with a run as files; `sweeps.record.from_wandb` reads them back."""
CHECKPOINT_FILES = {"off": None, "best": "replicate_*.pt", "all": "*"}
"""Checkpoints that travel with a run: none, the best weights, or everything needed to go on training."""


@dataclass(frozen=True)
class Trial:
    """What a run says about its trial."""

    number: int
    config: Mapping[str, Any]
    """Resolved and flat: the dotted keys of the YAML file."""
    phase: str


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as a tree: `{"model.latent_dim": 8}` -> `{"model": {"latent_dim": 8}}`."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


class TrialRun:
    """One trial's run. Raises what the W&B client raises, and TrackingError."""

    def __init__(
        self, sweep_folder: Path, sweep_id: str, trial: Trial, tracking: TrackingConfig, mode: WandbMode
    ) -> None:
        self.sweep_folder, self.sweep_id, self.trial = sweep_folder, sweep_id, trial
        self.tracking, self.mode = tracking, mode
        self.id = f"{sweep_id}-{trial_name(trial.number)}"
        self.logged: set[int] = set()
        self.last_step = -1
        self._run: wandb.Run | None = None

    def open(self) -> None:
        """Start the run and give it the epochs that are known already; runs that it replaces are deleted."""
        replaced = offline.run_files(self.sweep_folder, self.id)
        epochs = {
            epoch: metrics for path in replaced for epoch, metrics in metrics_in_runs(offline.history(path)).items()
        }
        history = trial_folder(self.sweep_folder, self.trial.number) / rows_file(HISTORY)
        epochs |= metrics_by_epoch(read_rows(history))
        self._run = self._init()
        self.last_step = self._run.step - 1  # rows that the server has, when online
        self.logged = {epoch for epoch in epochs if epoch <= self.last_step}
        for epoch in sorted(epochs):
            self.log(epoch, epochs[epoch])
        if self.mode == "offline":
            for path in replaced:
                shutil.rmtree(path.parent, ignore_errors=True)

    def _init(self) -> wandb.Run:
        run = start_run(
            self.sweep_folder,
            self.tracking,
            self.mode,
            id=self.id,
            name=trial_name(self.trial.number),
            group=self.sweep_id,
            job_type=self.trial.phase,
            resume="allow" if self.mode == "online" else None,
            # Nested: W&B itself joins the keys with dots, and its panels find no key that holds a dot.
            config={**nested(self.trial.config), "trial": self.trial.number},
        )
        run.define_metric("epoch", hidden=True)
        for name, summary in SUMMARIES.items():
            # A bare dot would mean a nested value.
            run.define_metric(name.replace(".", "\\."), step_metric="epoch", step_sync=False, summary=summary)
        for pattern in PATTERNS:
            run.define_metric(pattern, step_metric="epoch", step_sync=False)
        return run

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """One row of history. An epoch that the run has already is left alone: W&B's steps only go up."""
        if epoch <= self.last_step:
            return
        assert self._run is not None
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self._run.log({"epoch": epoch, **finite}, step=epoch, commit=True)
        self.logged.add(epoch)
        self.last_step = epoch

    def complete(self, folder: Path, status: str) -> None:
        """Add what exists once a trial is over: remaining epochs, pictures, variance table, artifacts, summary."""
        missing = [row for row in read_rows(folder / rows_file(HISTORY)) if row["epoch"] not in self.logged]
        if any(row["epoch"] < self.last_step for row in missing):
            self.end("interrupted")
            self.open()
        for epoch, metrics in metrics_by_epoch(missing).items():
            self.log(epoch, metrics)
        assert self._run is not None
        if media := self._media(folder):
            self._run.log(media, step=self.last_step + 1, commit=True)
        self._add_artifacts(folder)
        for path in (folder / name for name in FILES):
            if path.is_file():
                copy = _linked(path, Path(self._run.dir))
                self._run.save(copy, base_path=self._run.dir, policy="end", glob=False)
        self._run.summary.update({"status": status, **_summary(folder / RESULT)})
        self.end(status)

    def _media(self, folder: Path) -> dict[str, Any]:
        """Pictures and the variance table, as W&B shows them."""
        import wandb

        pictures = sorted((folder / PICTURES).glob("*.png"))
        media: dict[str, Any] = {f"{PICTURES}/{path.stem}": wandb.Image(str(path)) for path in pictures}
        if rows := list(read_rows(folder / rows_file("variance"))):
            columns: list[str | int] = list(rows[0])
            media["variance"] = wandb.Table(columns=columns, data=[list(row.values()) for row in rows])
        return media

    def _add_artifacts(self, folder: Path) -> None:
        import wandb

        pattern = CHECKPOINT_FILES[self.tracking.artifacts]
        files = sorted(path for path in (folder / CHECKPOINTS).glob(pattern) if path.is_file()) if pattern else []
        if files:
            assert self._run is not None
            artifact = wandb.Artifact(f"checkpoint-{self.id}", type="checkpoint")
            for path in [*files, *folder.glob(CONFIG), *folder.glob(RESULT)]:
                # A trial folder does not change once the trial is over: no second copy on this disk.
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
            self._run.log_artifact(artifact)

    def end(self, status: str) -> None:
        """Close the run: 0 finished or stopped, 1 failed, 255 interrupted."""
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=EXIT_CODES[status])


def _linked(path: Path, folder: Path) -> Path:
    """The file in the run's folder too: a hard link, which costs no space and outlives a move of the sweep's folder."""
    target = folder / path.name
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
    return target


def _summary(path: Path) -> dict[str, Any]:
    """Final metrics under their own names, seconds, and what marks the result; nothing if the trial left no result."""
    if not path.is_file():
        return {}
    result = json.loads(path.read_text(encoding="utf-8"))
    seconds = {f"seconds.{name}": value for name, value in result.get("seconds", {}).items()}
    facts = {"config_hash": result.get("config_hash"), "suspect": "; ".join(result.get("suspect", []))}
    values = {**result.get("metrics", {}), **seconds, **facts}
    return {name: value for name, value in values.items() if value is not None}
