"""The tables of a sweep from W&B's API, for a team whose results live there.

A trial's run holds its configuration, and as files what the tables are collected from
(`sweeps.tracking.trial_run.FILES`): the tables come back as they were. What belongs to the sweep and to no trial
(references, importance, calibration, the study, hardware and revision) is not in W&B and stays absent here.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.config import ConfigError, config_hash, flatten, parse
from pipeline.files import read_json, write_json
from pipeline.layout import LONG_TABLES, PICTURES
from sweeps.layout import RECORD, SPEC, STATE, TRIALS, trial_folder, trial_name
from sweeps.record.ledger import SCHEMA, Record, Status, read_result
from sweeps.record.state import State
from sweeps.record.tables import long_rows, trial_row, write_table
from sweeps.record.times import now
from sweeps.search.plan import PHASES, Plan
from sweeps.specification.keys import leaves
from sweeps.specification.spec import NAME_PATTERN
from sweeps.tracking import online
from sweeps.tracking.sync import CLIENT_RETRIES
from sweeps.tracking.trial_run import FILES

T = TypeVar("T")
ATTEMPTS, PAUSE = 3, 2.0
PAGE, AT_ONCE, ANSWER_SECONDS = 50, 8, 60
PICTURE = re.compile(rf"{PICTURES}/([A-Za-z0-9][\w.-]*)")
"""The key of a picture in a run's summary."""


@dataclass(frozen=True)
class Fetched:
    """What was brought here from W&B."""

    folder: Path
    trials: int
    without_files: list[int]
    """Finished trials of which W&B holds no record: their rows in the long tables are missing."""


def fetch(path: str, runs_dir: Path, name: str | None = None) -> Fetched:
    """Fill `runs_dir/NAME` (the group's name by default) with the tables of the runs of ENTITY/PROJECT/GROUP.

    Raises:
        ConfigError: no key, no server, no such runs, or the folder is there already; nothing was written.
    """
    entity, project, group = _parts(path)
    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(f"name: must be letters, digits, '.', '_' or '-', got {name!r}")
    folder = runs_dir.resolve() / (name or group)
    if folder.exists():
        raise ConfigError(f"{folder}: exists: give the copy another name, or move the folder away")
    if reason := online.problem():
        raise ConfigError(f"{path}: cannot be read: {reason}")
    runs = [run for run in _runs(entity, project, group) if run.job_type in PHASES]
    if not runs:
        raise ConfigError(f"{path}: holds no trials of elbosweep on {online.server_url()}")
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            trials = dict(pool.map(lambda run: _trial(run, partial / TRIALS), runs))
        missing = _write(partial, trials, path, folder.name)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Fetched(folder, len(trials), missing)


def is_copy(folder: Path) -> bool:
    """Whether a folder was filled from W&B: it has tables and no study or specification."""
    return ".." not in folder.parts and (folder / STATE).is_file() and not (folder / SPEC).exists()


def _parts(path: str) -> tuple[str, str, str]:
    parts = path.strip("/").split("/")
    if len(parts) != 3 or not all(re.fullmatch(r"[A-Za-z0-9][\w.-]*", part) for part in parts):
        raise ConfigError(f"--from-wandb: must be ENTITY/PROJECT/GROUP, got {path!r}")
    return parts[0], parts[1], parts[2]


def _runs(entity: str, project: str, group: str) -> list[Any]:
    """All runs of the group, page by page; W&B's own client asks."""
    for setting, value in CLIENT_RETRIES.items():
        os.environ.setdefault(setting, value)
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    def ask() -> list[Any]:
        api = wandb.Api(timeout=ANSWER_SECONDS, api_key=online.find_key(), overrides={"base_url": online.server_url()})
        runs = api.runs(f"{entity}/{project}", filters={"group": group}, per_page=PAGE, lazy=False)
        return list(iter(runs))  # not `list(runs)`: that asks for the length, and hides a TypeError behind it

    return _persistently(ask, f"{entity}/{project}/{group}")


def _persistently(ask: Callable[[], T], what: str) -> T:
    """An answer, or one line that says why there is none."""
    for attempt in range(ATTEMPTS):
        try:
            return ask()
        except Exception as error:  # the client raises a dozen kinds
            reason = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, ValueError) and "Could not find" in reason:
                break
            if attempt + 1 < ATTEMPTS:
                time.sleep(PAUSE * 2**attempt)
    key = online.find_key()
    raise ConfigError(
        f"{what}: cannot be read from {online.server_url()}: {reason.replace(key, '***') if key else reason}"
    )


def _trial(run: Any, trials: Path) -> tuple[int, tuple[Record, dict[str, Any]]]:
    """Download a trial's files; gives back its record and its configuration."""
    tree = {key: value for key, value in run.config.items() if key != "trial"}
    number = run.config.get("trial")
    if not isinstance(number, int):
        raise ConfigError(f"run {run.id}: its configuration must hold the trial's number, got {number!r}")
    folder = trials / trial_name(number)
    folder.mkdir(parents=True, exist_ok=True)
    _persistently(lambda: _download(run, folder), f"run {run.id}")
    return number, (_record(run, number, folder, tree), _as_configured(flatten(tree)))


def _as_configured(flat: dict[str, Any]) -> dict[str, Any]:
    """W&B keeps neither the order of the keys nor the difference between 1 and 1.0."""
    keys = leaves()
    return {key: keys[key].canonical(flat[key]) for key in keys if key in flat} | {
        key: value for key, value in flat.items() if key not in keys
    }


def _download(run: Any, folder: Path) -> None:
    pictures = {
        value["path"]: match[1]
        for key, value in run.summary_metrics.items()
        if (match := PICTURE.fullmatch(key)) and isinstance(value, dict) and "path" in value
    }
    for file in run.files(per_page=PAGE):
        if file.name in FILES:
            file.download(root=str(folder), replace=True).close()
        elif file.name in pictures:
            file.download(root=str(folder / "media"), replace=True).close()
            target = folder / PICTURES / f"{pictures[file.name]}{Path(file.name).suffix}"
            target.parent.mkdir(exist_ok=True)
            os.replace(folder / "media" / file.name, target)
    shutil.rmtree(folder / "media", ignore_errors=True)


def _record(run: Any, number: int, folder: Path, tree: dict[str, Any]) -> Record:
    """As the sweep wrote it down; where that is missing (a run that never ended), what W&B itself knows."""
    if (folder / RECORD).is_file():
        content = read_json(folder / RECORD)
        content.pop("schema", None)
        return Record(**{**content, "plan": Plan(**content["plan"])})
    try:
        digest = config_hash(parse(tree, f"run {run.id}"))
    except ConfigError as error:
        raise ConfigError(str(error).splitlines()[0]) from None
    statuses: dict[str, Status] = {"finished": "finished", "failed": "failed", "stopped": "stopped"}
    status = statuses.get(run.summary_metrics.get("status"), "running")
    return Record(Plan(number, run.job_type, {}, digest), status, started=run.created_at)


def _write(folder: Path, trials: dict[int, tuple[Record, dict[str, Any]]], path: str, name: str) -> list[int]:
    """The tables and sweep.json. Gives back the finished trials without a result."""
    results = {number: read_result(trial_folder(folder, number)) for number in trials}
    rows = [trial_row(trials[number][0], results[number], trials[number][1]) for number in sorted(trials)]
    counts = {TRIALS: write_table(folder, TRIALS, rows)}
    finished = [number for number in sorted(trials) if trials[number][0].status == "finished"]
    for table in LONG_TABLES:
        counts[table] = write_table(folder, table, list(long_rows(folder, table, finished)))
    data = next((result["data"] for result in results.values() if result and "data" in result), None)
    states = {record.status for record, _ in trials.values()}
    state = State.RUNNING if "running" in states else State.FINISHED
    info: dict[str, Any] = {"schema": SCHEMA, "name": name, "state": str(state)}
    info |= {"source": {"wandb": path, "server": online.server_url(), "fetched": now()}, "rows": counts}
    write_json(folder / STATE, info | ({"data": data} if data else {}))
    return [number for number in finished if results[number] is None]
