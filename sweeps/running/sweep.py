"""A sweep as a folder, `runs/NAME/`: created, locked by its one driver, run, resumed, brought to its tables.

spec.yaml      the resolved specification          study.journal   Optuna's record of what was asked
sweep.json     state and provenance                trials/0000/    one folder per trial
*.parquet      the tables                          wandb/          W&B's files
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import Any

import yaml

from pipeline.config import ConfigError
from pipeline.files import full_disk, write_text
from sweeps.layout import SPEC
from sweeps.machine.exit_codes import ExitCode
from sweeps.machine.interrupts import Interrupts
from sweeps.record import provenance, state
from sweeps.record.damage import set_aside_damaged
from sweeps.record.folders import find, locked, read_spec, remove, to_resume
from sweeps.record.ledger import Ledger
from sweeps.record.state import State
from sweeps.record.times import now
from sweeps.running import launch
from sweeps.running.opened import OpenSweep, Setting, opened
from sweeps.running.session import Session, disk_is_full
from sweeps.search import study
from sweeps.specification.reading import parse
from sweeps.specification.spec import NAME_PATTERN, SweepSpec
from sweeps.storage import sweep_copy
from sweeps.storage.storage import Storage

__all__ = ["Setting", "Sweep"]


class Sweep:
    """One sweep: a specification and the setting that it runs in.

        sweep = Sweep(load(find("smoke")), Setting(runs_dir=Path("runs")))
        code = sweep.run()

    The specification has been validated (`sweeps.specification.reading`). Exit codes are those of the command line,
    and so are the files; signals are caught while a sweep runs in the main thread.
    """

    def __init__(self, spec: SweepSpec, setting: Setting | None = None) -> None:
        setting = setting or Setting()
        if setting.data_dir is not None:  # a worker's own folder may be another one: only absolute paths mean the same
            setting = replace(setting, data_dir=setting.data_dir.expanduser().resolve())
        self.given, self.setting = spec, setting
        self.spec = _with(spec, storage=setting.storage, wandb=setting.wandb)
        """What was given, with what the setting says in its place."""
        self.folder = setting.runs_dir.resolve() / spec.name

    def run(self, *, force: bool = False) -> ExitCode:
        """Run a new sweep to its end; `force` replaces one of the same name.

        Raises:
            ConfigError: the name exists, data are missing, or the folder cannot be written; nothing was overwritten.
        """
        with opened(self.spec, self.folder, self.setting) as sweep:
            if self.folder.exists() and not force:
                raise ConfigError(f"{self.folder}: exists: say `{to_resume(self.folder)}`, or --force to replace it")
            if sweep.copy is not None:
                sweep_copy.make_room(sweep.copy.storage, self.spec.name, force=force)
            study.claim(self.spec, self.folder, force=force)
            if self.folder.exists():
                remove(self.folder)
            write_text(self.folder / SPEC, self.spec.written())
            with locked(self.folder):
                info = provenance.describe(self.spec, self.setting.command, sweep.images)
                return _drive(sweep, info | {"started": now(), "resumed": 0, "seconds": 0.0})

    @classmethod
    def resume(cls, name: str, setting: Setting | None = None) -> ExitCode:
        """Go on with an interrupted sweep: finished trials are kept, running ones go on from their checkpoints.

        Raises:
            ConfigError: there is no such sweep, its data or its specification are other ones, or it is being run.
        """
        setting = setting or Setting()
        _bring(name, setting)
        folder = find(name, setting.runs_dir)
        sweep = cls(read_spec(folder), setting)
        sweep.folder = folder  # it may have been renamed
        return sweep._go_on()

    def _go_on(self) -> ExitCode:
        with opened(self.spec, self.folder, self.setting) as sweep, locked(self.folder):
            if sweep.copy is not None:
                sweep.copy.catch_up()
            if self.spec.storage != self.given.storage:
                write_text(self.folder / SPEC, _with(self.given, storage=self.spec.storage).written())
            set_aside_damaged(self.folder)
            before = state.read(self.folder)
            info = provenance.describe(self.spec, self.setting.command, sweep.images)
            begun = {record.plan.phase for record in Ledger(self.folder, *self.spec.search.modes).records.values()}
            provenance.check_same(self.folder, before, info, begun)
            info |= {key: before[key] for key in ("started", "seconds") if key in before}
            info |= {"resumed": before.get("resumed", 0) + 1, "earlier": provenance.earlier(before)}
            return _drive(sweep, info)


def _bring(name: str, setting: Setting) -> None:
    """Get the record of a sweep that ran on another machine from its storage, if it is not here."""
    folder = setting.runs_dir.resolve() / name
    if setting.storage is None or not re.fullmatch(NAME_PATTERN, name) or (folder / SPEC).is_file():
        return
    sweep_copy.bring(Storage.parse(setting.storage) / name, name, folder)


def _with(spec: SweepSpec, *, storage: str | None = None, wandb: str | None = None) -> SweepSpec:
    """The specification with another storage, or another mode of W&B."""
    if storage is None and wandb is None:
        return spec
    tree = yaml.safe_load(spec.written())
    if storage is not None:
        tree["storage"] = storage
    if wandb is not None:
        tree["tracking"]["wandb"] = wandb
    return parse(tree, spec.name)


def _drive(sweep: OpenSweep, info: dict[str, Any]) -> ExitCode:
    """Run the sweep; turn a signal or a full disk into an exit code."""
    folder = sweep.folder
    interrupts = Interrupts(f"interrupted; to go on: {to_resume(folder)}", lambda: state.mark_interrupted(folder))
    with interrupts.watched():
        try:
            return _run(Session(sweep, info, interrupts))
        except KeyboardInterrupt:
            state.mark_interrupted(folder)
            print(interrupts.notice, file=sys.stderr)
            return ExitCode.INTERRUPTED
        except Exception as error:
            if (place := full_disk(error)) is None:
                raise
            print(disk_is_full(place, sweep), file=sys.stderr)
            return ExitCode.FAILED


def _run(session: Session) -> ExitCode:
    """Run the trials that are left, then close the sweep."""
    complete = not session.has_work()
    try:
        if not complete:
            session.save(State.RUNNING)
            complete = launch.run_trials(session)
    finally:
        session.save_end(complete=complete)
    return session.close(complete=complete)
