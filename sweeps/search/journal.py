"""The journal file of a study, made whole again after a crash.

One driver at a time writes it (the sweep's lock sees to that), so whatever a killed one left behind can be cut off.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

log = logging.getLogger(__name__)

CREATE_TRIAL, SET_TRIAL_USER_ATTR = 4, 8
"""Operation codes of Optuna's journal format (optuna.storages.journal.JournalOperation)."""


def open_storage(path: Path) -> JournalStorage:
    """Optuna's storage over `path`, created where it is missing and repaired where a crash tore it."""
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if path.exists():
        repair(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))


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
    copy = path.with_name(path.name + (".damaged" if damaged else ".torn"))
    shutil.copyfile(path, copy)
    if damaged:
        log.warning("%s is damaged: kept as %s; what follows the damage is planned anew", path, copy.name)
    with path.open("r+b") as file:
        file.truncate(keep)
    return len(content) - keep


def _whole(content: bytes) -> int:
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
