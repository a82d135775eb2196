"""A sweep as a folder, `runs/NAME/`: created, locked by its one driver, run, resumed, brought to its tables.

spec.yaml      the resolved specification          study.journal   Optuna's record of what was asked
sweep.json     state and provenance                trials/0000/    one folder per trial
*.parquet      the tables                          wandb/          W&B's files
"""

from __future__ import annotations

import itertools
import math
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console

from pipeline.config import ConfigError, DataConfig, override
from pipeline.data.images import ImageData
from pipeline.data.images import load as load_data
from pipeline.files import full_disk, read_json, write_json, write_text
from sweeps.machine.interrupts import INTERRUPTED, Interrupts
from sweeps.machine.resources import resolve_resources
from sweeps.record import provenance, references
from sweeps.record.damage import set_aside_damaged
from sweeps.record.folders import find, locked, read_spec, remove, to_resume
from sweeps.record.ledger import Ledger
from sweeps.record.reconciliation import Reconciliation, make_whole, reconcile
from sweeps.record.tables import collect
from sweeps.record.times import duration, now
from sweeps.running import launch, ray_session
from sweeps.running.callbacks import Suggester
from sweeps.running.progress import Periodic, Progress
from sweeps.running.worker import Job, TrialFunction
from sweeps.search import study
from sweeps.search.planner import Planner
from sweeps.specification.options import Resources
from sweeps.specification.reading import parse
from sweeps.specification.spec import NAME_PATTERN, SweepSpec
from sweeps.storage import sweep_copy
from sweeps.storage.storage import Storage
from sweeps.storage.sweep_copy import SweepCopy

State = Literal["running", "finished", "failed", "interrupted"]
Data = Mapping[DataConfig, ImageData]


@dataclass(frozen=True)
class Setting:
    """Where and how a sweep runs on this machine; nothing here changes its results."""

    runs_dir: Path = Path("runs")
    data_dir: Path | None = None
    workers: int | None = None
    wandb: str | None = None
    """Mode of W&B in place of the specification's, for this process."""
    address: str | None = None
    """An existing Ray cluster to run on; None starts a Ray on this machine."""
    storage: str | None = None
    """URL in place of the specification's storage."""
    command: str = ""
    console: Console | None = None
    function: TrialFunction | None = None
    """Stands in for `pipeline.trial.run_trial` where training is not the point (tests, benchmarks)."""


def start(spec: SweepSpec, setting: Setting, *, force: bool = False) -> int:
    """Run a new sweep; the specification has been validated. Returns the exit code.

    Raises:
        ConfigError: the name exists, data are missing, or the folder cannot be written; nothing was overwritten.
    """
    spec, folder = _with(spec, storage=setting.storage), setting.runs_dir.resolve() / spec.name
    with ray_session.joined(setting.address):
        data, resources, storage = _prepare(spec, setting)
        if folder.exists() and not force:
            raise ConfigError(f"{folder}: exists: say `{to_resume(folder)}`, or --force to replace it")
        if storage is not None:
            sweep_copy.make_room(storage, spec.name, force=force)
        study.claim(spec, folder, force=force)
        if folder.exists():
            remove(folder)
        write_text(folder / "spec.yaml", spec.written())
        with locked(folder):
            info = provenance.describe(spec, setting.command, list(data.values()))
            info |= {"started": now(), "resumed": 0, "seconds": 0.0}
            copy = None if storage is None else SweepCopy(folder, storage)
            return _drive(spec, folder, setting, data, resources, copy, info)


def resume(name: str, setting: Setting) -> int:
    """Go on with an interrupted sweep: finished trials are kept, running ones go on from their checkpoints."""
    _bring(name, setting)
    folder = find(name, setting.runs_dir)
    given = read_spec(folder)
    spec = _with(given, storage=setting.storage, wandb=setting.wandb)
    with ray_session.joined(setting.address):
        data, resources, storage = _prepare(spec, setting)
        with locked(folder):
            copy = None if storage is None else SweepCopy(folder, storage)
            if copy is not None:
                copy.catch_up()
            if spec.storage != given.storage:
                write_text(folder / "spec.yaml", _with(given, storage=spec.storage).written())
            set_aside_damaged(folder)
            before = read_json(folder / "sweep.json") if (folder / "sweep.json").exists() else {}
            info = provenance.describe(spec, setting.command, list(data.values()))
            begun = {record.plan.phase for record in Ledger(folder, *spec.search.modes).records.values()}
            provenance.check_same(folder, before, info, begun)
            info |= {key: before[key] for key in ("started", "seconds") if key in before}
            info |= {"resumed": before.get("resumed", 0) + 1, "earlier": provenance.earlier(before)}
            return _drive(spec, folder, setting, data, resources, copy, info)


def _bring(name: str, setting: Setting) -> None:
    """Get the record of a sweep that ran on another machine from its storage, if it is not here."""
    folder = setting.runs_dir.resolve() / name
    if setting.storage is None or not re.fullmatch(NAME_PATTERN, name) or (folder / "spec.yaml").is_file():
        return
    sweep_copy.bring(Storage.parse(setting.storage) / name, name, folder)


def _prepare(spec: SweepSpec, setting: Setting) -> tuple[Data, Resources, Storage | None]:
    """All that a sweep needs, looked at before anything is written."""
    resources = resolve_resources(spec, setting.workers, ray_session.cluster(setting.address))
    storage = sweep_copy.opened(spec)
    data = load_all(spec, setting.data_dir)
    if setting.address is not None and storage is None:
        ray_session.check_shared(setting.runs_dir.resolve())
    return data, resources, storage


def _with(spec: SweepSpec, *, storage: str | None = None, wandb: str | None = None) -> SweepSpec:
    """The specification with what the command line says in its place."""
    tree = yaml.safe_load(spec.written())
    if storage is not None:
        tree["storage"] = storage
    if wandb is not None:
        tree["tracking"]["wandb"] = wandb
    return parse(tree, spec.name) if (storage, wandb) != (None, None) else spec


def _drive(
    spec: SweepSpec,
    folder: Path,
    setting: Setting,
    data: Data,
    resources: Resources,
    copy: SweepCopy | None,
    info: dict[str, Any],
) -> int:
    """Run the sweep under the eyes of whoever may stop it: a signal, or a disk that is full."""
    interrupts = Interrupts(f"interrupted; to go on: {to_resume(folder)}", lambda: _mark_interrupted(folder))
    with interrupts.watched():
        try:
            return _run(spec, folder, setting, data, resources, copy, info, interrupts)
        except KeyboardInterrupt:
            _mark_interrupted(folder)
            print(interrupts.last_words, file=sys.stderr)
            return INTERRUPTED
        except Exception as error:
            if (place := full_disk(error)) is None:
                raise
            print(_disk_is_full(place, folder), file=sys.stderr)
            return 1


def _run(
    spec: SweepSpec,
    folder: Path,
    setting: Setting,
    data: Data,
    resources: Resources,
    copy: SweepCopy | None,
    info: dict[str, Any],
    interrupts: Interrupts,
) -> int:
    began, before = time.monotonic(), info.get("seconds", 0.0)
    planner, ledger = Planner(spec, folder), Ledger(folder, *spec.search.modes)
    progress = Progress(
        ledger,
        name=spec.name,
        total=planner.total,
        workers=resources.workers,
        epochs=spec.base["training"]["epochs"],
        mode=spec.search.mode,
        console=setting.console,
    )
    if spec.search.trials and resources.workers > spec.search.window:
        progress.warn(f"search.window: at most {spec.search.window} of {resources.workers} workers can search at once")
    deadline = began - before + 3600 * (math.inf if spec.budget.hours is None else spec.budget.hours)
    function, storage = setting.function or _run_trial(), None if copy is None else copy.storage
    job = Job(
        spec.base,
        folder / "trials",
        resources.cpus,
        setting.data_dir,
        function,
        storage,
        spec.limits.trial_minutes,
    )

    def save(state: State) -> None:
        rows = collect(ledger, spec)
        counts = {status: ledger.count(status) for status in ("finished", "failed", "stopped", "running")}
        seconds = before + time.monotonic() - began
        resource = resources.model_dump(mode="json")
        tree = info | {"state": state, "ended": now(), "seconds": seconds, "counts": counts, "rows": rows}
        write_json(folder / "sweep.json", tree | {"resources": resource, "total": planner.total})
        if copy is not None:
            copy.push(progress.warn)

    suggester = Suggester(planner, ledger, ledger.to_run_again(planner.plans), deadline)
    complete = not suggester.decide()
    if complete:
        progress.warn(f"{spec.name}: nothing is left to do")
        if (folder / "sweep.json").exists():
            info = read_json(folder / "sweep.json")  # the numbers come from there, not from this command and revision
    try:
        if not complete:
            save("running")
            complete = launch.run_trials(
                spec,
                suggester,
                job,
                resources,
                progress,
                Periodic(lambda: save("running")),
                data=data,
                copy=copy,
                interrupts=interrupts,
            )
    finally:
        save("interrupted" if not complete else "finished" if not ledger.count("failed") else "failed")
    if interrupts.full_disk is not None:
        progress.warn(_disk_is_full(interrupts.full_disk, folder))
        return 1
    if not complete:
        references.write(folder, spec, list(data.values()), planner.study)
        if copy is not None:
            copy.push(progress.warn, final=True)
        progress.warn(interrupts.last_words)
        return INTERRUPTED
    reconciliation = _reconcile(folder, spec, ledger, progress)
    references.write(folder, spec, list(data.values()), planner.study)
    for number in (number for number, record in ledger.records.items() if record.status == "stopped"):
        # Weights and optimiser of a trial that nobody goes on with: most of what an early stop would leave on the disk.
        (ledger.trial_folder(number) / "checkpoints" / "training.pt").unlink(missing_ok=True)
    if copy is not None:
        copy.push(progress.warn, final=True)
    if planner.ended is not None:
        progress.warn(planner.ended)
    return max(_farewell(spec, ledger, time.monotonic() - began, progress), 1 if reconciliation.gaps else 0)


def _mark_interrupted(folder: Path) -> None:
    """A sweep whose trials had all ended stays what it was, whatever was still being done about its records."""
    path = folder / "sweep.json"
    if path.exists() and (info := read_json(path))["state"] == "running":
        write_json(path, info | {"state": "interrupted", "ended": now()})


def _disk_is_full(place: str, folder: Path) -> str:
    return f"the disk is full: {place}; free some space, then: {to_resume(folder)}"


def _reconcile(folder: Path, spec: SweepSpec, ledger: Ledger, progress: Progress) -> Reconciliation:
    """Compare all records; W&B runs that are not whole (a kill, a broken W&B service) are written anew first."""
    found = reconcile(folder, spec, ledger)
    if found.incomplete:
        make_whole(folder, spec, ledger, found.incomplete, progress.warn)
        found = reconcile(folder, spec, ledger)
    for line in found.lines():
        progress.warn(line)
    return found


def _farewell(spec: SweepSpec, ledger: Ledger, seconds: float, progress: Progress) -> int:
    failed = ledger.count("failed")
    stopped = f", {ledger.count('stopped')} stopped early" if ledger.count("stopped") else ""
    counts = f"{ledger.count('finished')} trials finished{stopped}, {failed} failed"
    progress.warn(f"{spec.name}: {counts} in {duration(seconds)}: {ledger.folder}")
    return 1 if failed else 0


def _run_trial() -> TrialFunction:
    from pipeline.trial import run_trial

    return run_trial


def load_all(spec: SweepSpec, data_dir: Path | None) -> Data:
    """Every data set that the specification can ask for: missing data are found before anything starts."""
    parameters = {key: value.ends for key, value in spec.parameters().items() if key.startswith("data.")}
    configs: dict[DataConfig, None] = {}
    for values in itertools.product(*parameters.values()):
        tree = override(spec.base, dict(zip(parameters, values)))
        configs[DataConfig.model_validate(tree["data"])] = None
    return {config: load_data(config, data_dir) for config in configs}
