"""The journal file of a study: which trials it holds, and how it is made whole after a crash. Needs no Optuna.

One driver at a time writes it (the sweep's lock sees to that), so whatever a killed one left behind can be cut off.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from pipeline.config import ConfigError
from pipeline.files import DAMAGED

log = logging.getLogger(__name__)

TORN = ".torn"
"""Ending of the copy of a journal whose end a crash tore off."""
CREATE_STUDY, DELETE_STUDY, CREATE_TRIAL, SET_TRIAL_USER_ATTR = 0, 1, 4, 8
"""Operation codes of Optuna's journal format (optuna.storages.journal.JournalOperation)."""


def asked(path: Path, study_name: str) -> set[int] | None:
    """Numbers of the trials in a study, as Optuna reads them; None where there is no such journal or study.

    Raises:
        ConfigError: a line other than the last is damaged.
    """
    if not path.exists():
        return None
    names: dict[int, str] = {}
    counts: dict[int, int] = {}
    for entry in _entries(path):
        match entry["op_code"]:
            # Studies are numbered in the order of their creation; a name that exists already is not created again.
            case code if code == CREATE_STUDY and entry["study_name"] not in names.values():
                names[len(counts)] = entry["study_name"]
                counts[len(counts)] = 0
            case code if code == DELETE_STUDY:
                names.pop(entry["study_id"], None)
            case code if code == CREATE_TRIAL and entry["study_id"] in names:
                counts[entry["study_id"]] += 1
    return next((set(range(counts[study])) for study, name in names.items() if name == study_name), None)


def _entries(path: Path) -> list[dict[str, Any]]:
    """All entries of a journal; a last line that a crash tore is left out."""
    entries = [_entry(line) for line in path.read_bytes().splitlines(keepends=True)]
    if entries and entries[-1] is None:
        entries.pop()
    whole = [entry for entry in entries if entry is not None]
    if len(whole) < len(entries):
        raise ConfigError(f"{path}: line {entries.index(None) + 1} is damaged; `elbosweep resume` makes it whole")
    return whole


def repair(path: Path) -> int:
    """Cut a torn end off, or everything after a damaged line, keeping a copy; gives back the bytes that were cut.

    Torn is a last line without its end, and a last trial that was created but whose plan was never written: it was
    not handed to a worker, and the same trial will be suggested again.
    """
    content = path.read_bytes()
    keep = _whole(content)
    if keep == len(content):
        return 0
    damaged = any(line.endswith(b"\n") and _entry(line) is None for line in content[keep:].splitlines(keepends=True))
    copy = path.with_name(path.name + (DAMAGED if damaged else TORN))
    shutil.copyfile(path, copy)
    if damaged:
        log.warning("%s is damaged: kept as %s; what follows the damage is planned anew", path, copy.name)
    with path.open("r+b") as file:
        file.truncate(keep)
    return len(content) - keep


def _whole(content: bytes) -> int:
    """Bytes from the start up to the first damage, or to a last trial without its plan."""
    position, open_trial = 0, None
    for line in content.splitlines(keepends=True):
        entry = _entry(line)
        if entry is None:
            break
        if entry["op_code"] == CREATE_TRIAL:
            # A trial that is created complete carries its user attributes already.
            open_trial = None if entry.get("user_attrs") else position
        elif entry["op_code"] == SET_TRIAL_USER_ATTR:
            open_trial = None
        position += len(line)
    return position if open_trial is None else open_trial


def _entry(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "op_code" in entry else None
