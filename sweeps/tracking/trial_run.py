"""The W&B run of one trial: opened, filled epoch by epoch, completed from the trial's folder.

The tables in the run folder are the record and W&B holds a copy of it, so a run is never patched: where one was left
unfinished (a kill, a dead W&B service), a new run under the same id takes over everything that is known and replaces
it: offline, a trial is one run on disk. Online, the server goes on with its run from the row that it has.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sweeps.tracking import offline

if TYPE_CHECKING:
    import wandb

Mode = Literal["offline", "online", "disabled"]
EXIT_CODES = {"finished": 0, "stopped": 0, "failed": 1, "interrupted": 255}
SUMMARIES = {
    "train.loss": "min",
    "train.elbo": "max",
    "train.bits_per_dim": "min",
    "validation.elbo": "max",
    "validation.bits_per_dim": "min",
}
"""Metrics of which W&B's summary keeps the best epoch while the trial runs."""
BY_EPOCH = ("train.*", "validation.*", "training.*", "seconds*")
FILES = ("trial.json", "result.json", *(f"{name}.jsonl" for name in
         ("history", "replicates", "variance", "gradients", "evidence")))  # fmt: skip
"""What the tables are collected from travels with a run as files; `sweeps.record.from_wandb` reads them back."""
INIT_SECONDS, FINISH_SECONDS = 15.0, 10.0


class TrackingError(RuntimeError):
    """The W&B copy cannot be written; the message says why."""


@dataclass(frozen=True)
class TrackingSettings:
    """Where runs go and what they carry."""

    mode: Mode = "offline"
    project: str = "elbosweep"
    entity: str | None = None
    tags: tuple[str, ...] = ()
    artifacts: Literal["off", "best", "all"] = "off"
    """Checkpoints that travel with a run: none, the best weights, or everything needed to go on training."""


@dataclass(frozen=True)
class Trial:
    """What a run says about its trial."""

    number: int
    config: Mapping[str, Any]
    """Resolved and flat: the dotted keys of the YAML file."""
    phase: str


def epoch_metrics(rows: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, float]]:
    """Rows of `history.jsonl` -> epoch -> mean over replicates, its standard error, and each replicate's value.

    The same numbers as `pipeline.trial.train.report_metrics`, in float arithmetic and without importing PyTorch.
    """
    values: dict[int, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        for name, value in metrics_of(row).items():
            values[row["epoch"]][name][row["replicate"]] = value
    return {epoch: _over_replicates(values[epoch]) for epoch in sorted(values)}


def _over_replicates(metrics: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    combined = {}
    for name, by_replicate in metrics.items():
        numbers = list(by_replicate.values())
        combined[name] = mean = math.fsum(numbers) / len(numbers)
        combined |= {f"{name}.replicate_{replicate}": value for replicate, value in by_replicate.items()}
        if len(numbers) > 1:
            squares = math.fsum((number - mean) ** 2 for number in numbers)
            combined[f"{name}.standard_error"] = math.sqrt(squares / (len(numbers) - 1) / len(numbers))
    return combined


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


def metrics_of(report: Mapping[str, Any]) -> dict[str, float]:
    """The trial's own metrics in a report, which may hold what Tune adds: names without a dot."""
    return {
        name: float(value)
        for name, value in report.items()
        if (name == "seconds" or ("." in name and not name.startswith("step.")))
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
    }


def read_rows(path: Path) -> list[dict[str, Any]]:
    """One JSON object a line; an absent file holds none."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class TrialRun:
    """One trial's run. Raises what the W&B client raises, and TrackingError."""

    def __init__(self, run_folder: Path, sweep_id: str, trial: Trial, settings: TrackingSettings, mode: Mode) -> None:
        self.run_folder, self.sweep_id, self.trial, self.settings, self.mode = (
            run_folder,
            sweep_id,
            trial,
            settings,
            mode,
        )
        self.id = f"{sweep_id}-{trial.number:04d}"
        self.logged: set[int] = set()
        self.last_step = -1
        self._run: wandb.Run | None = None

    @property
    def trial_folder(self) -> Path:
        return self.run_folder / "trials" / f"{self.trial.number:04d}"

    def open(self) -> None:
        """Start the run and give it the epochs that are known already; runs that it replaces are deleted."""
        replaced = offline.record_files(self.run_folder, self.id)
        epochs = {epoch: metrics for path in replaced for epoch, metrics in _epochs_of(path).items()}
        epochs |= epoch_metrics(read_rows(self.trial_folder / "history.jsonl"))
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
            self.run_folder,
            self.settings,
            self.mode,
            id=self.id,
            name=f"{self.trial.number:04d}",
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
        for pattern in BY_EPOCH:
            run.define_metric(pattern, step_metric="epoch", step_sync=False)
        return run

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """One row of history. An epoch that is there already is left alone: W&B's steps only go up."""
        if epoch <= self.last_step:
            return
        assert self._run is not None
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self._run.log({"epoch": epoch, **finite}, step=epoch, commit=True)
        self.logged.add(epoch)
        self.last_step = epoch

    def complete(self, folder: Path, status: str) -> None:
        """Add what exists once a trial is over: remaining epochs, pictures, variance table, artifacts, summary."""
        missing = [row for row in read_rows(folder / "history.jsonl") if row["epoch"] not in self.logged]
        if any(row["epoch"] < self.last_step for row in missing):
            self.end("interrupted")
            self.open()
        for epoch, metrics in epoch_metrics(missing).items():
            self.log(epoch, metrics)
        assert self._run is not None
        if media := self._media(folder):
            self._run.log(media, step=self.last_step + 1, commit=True)
        self._add_artifacts(folder)
        for path in (folder / name for name in FILES):
            if path.is_file():
                self._run.save(_beside(path, Path(self._run.dir)), base_path=self._run.dir, policy="end", glob=False)
        self._run.summary.update({"status": status, **_summary(folder / "result.json")})
        self.end(status)

    def _media(self, folder: Path) -> dict[str, Any]:
        import wandb

        pictures = sorted((folder / "pictures").glob("*.png"))
        media: dict[str, Any] = {f"pictures/{path.stem}": wandb.Image(str(path)) for path in pictures}
        if rows := read_rows(folder / "variance.jsonl"):
            columns: list[str | int] = list(rows[0])
            media["variance"] = wandb.Table(columns=columns, data=[list(row.values()) for row in rows])
        return media

    def _add_artifacts(self, folder: Path) -> None:
        import wandb

        pattern = {"off": None, "best": "replicate_*.pt", "all": "*"}[self.settings.artifacts]
        files = sorted(path for path in (folder / "checkpoints").glob(pattern) if path.is_file()) if pattern else []
        if files:
            assert self._run is not None
            artifact = wandb.Artifact(f"checkpoint-{self.id}", type="checkpoint")
            for path in [*files, *folder.glob("config.yaml"), *folder.glob("result.json")]:
                # A trial folder does not change once the trial is over: no second copy on this disk.
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
            self._run.log_artifact(artifact)

    def end(self, status: str) -> None:
        """Close the run: 0 finished or stopped, 1 failed, 255 interrupted."""
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=EXIT_CODES[status])


def _beside(path: Path, folder: Path) -> Path:
    """The file in the run's folder too: a hard link, which costs no space and outlives a move of the run folder."""
    target = folder / path.name
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
    return target


def start_run(run_folder: Path, settings: TrackingSettings, mode: Mode, **identity: Any) -> wandb.Run:
    """`wandb.init` as cheap as it gets: several runs at once in this process, no console capture, no machine probes.

    Raises:
        TrackingError: the folder cannot be written (the client alone would quietly write somewhere else).
    """
    import wandb

    folder = run_folder / "wandb"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackingError(f"{folder} cannot be written: {error.strerror}") from None
    wanted: dict[str, Any] = {
        "console": "off",
        "silent": True,
        "disable_git": True,
        "save_code": False,
        "disable_job_creation": True,
        "x_disable_stats": True,
        "x_disable_meta": True,
        "x_disable_machine_info": True,
        "x_save_requirements": False,
        # What a kill can cost: the default keeps up to 15 seconds in memory.
        "x_transaction_log_flush_interval": 1,
        "init_timeout": INIT_SECONDS,
        "finish_timeout": FINISH_SECONDS,
        "finish_timeout_raises": True,
    }
    run = wandb.init(
        reinit="create_new",
        project=settings.project,
        entity=settings.entity,
        tags=list(settings.tags),
        mode=mode,
        dir=str(run_folder),
        settings=wandb.Settings(**{key: value for key, value in wanted.items() if key in wandb.Settings.model_fields}),
        **identity,
    )
    if not Path(run.dir).resolve().is_relative_to(folder.resolve()):
        elsewhere = run.dir
        run.finish(exit_code=1)
        raise TrackingError(f"{folder} cannot be written: the W&B client fell back to {elsewhere}")
    return run


def _epochs_of(record_file: Path) -> dict[int, dict[str, float]]:
    return {
        int(row["epoch"]): {
            name: value
            for name, value in row.items()
            if name != "epoch" and not name.startswith("_") and isinstance(value, (int, float))
        }
        for row in offline.history(record_file)
        if "epoch" in row
    }


def _summary(path: Path) -> dict[str, Any]:
    """Final metrics under their own names, seconds, and what marks the result; nothing if the trial left no result."""
    if not path.is_file():
        return {}
    result = json.loads(path.read_text(encoding="utf-8"))
    seconds = {f"seconds.{name}": value for name, value in result.get("seconds", {}).items()}
    facts = {"config_hash": result.get("config_hash"), "suspect": "; ".join(result.get("suspect", []))}
    values = {**result.get("metrics", {}), **seconds, **facts}
    return {name: value for name, value in values.items() if value is not None}
