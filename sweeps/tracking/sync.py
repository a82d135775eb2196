"""Offline runs to the W&B server: each by itself, some at a time, tried again, and a receipt of what is up.

`wandb sync` exits with 0, and marks a run as synced, when half of it could not be uploaded. What counts here is a clean
log of its own; anything else is a failed attempt. And it appends: what a failed attempt left on the server would be
there twice. So every attempt first asks how many rows of the run have arrived, and sends the others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.config import ConfigError
from pipeline.files import write_json
from sweeps.layout import RECEIPT, WANDB
from sweeps.tracking import offline, online, transaction_log

ATTEMPT_SECONDS = 600.0
CLIENT_RETRIES = {
    f"WANDB__{part}_{setting}": value
    for part in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER")
    for setting, value in (("RETRY_MAX", "2"), ("RETRY_WAIT_MIN_SECONDS", "0.5"), ("RETRY_WAIT_MAX_SECONDS", "5"))
}
"""The client alone tries for hours."""


@dataclass(frozen=True)
class Upload:
    """One run and what became of it."""

    run: str
    """Name of the run's folder."""
    bytes: int
    attempts: int
    error: str | None
    """Why the last attempt failed; None: the run is up."""
    url: str | None = None
    ended: str = ""


@dataclass(frozen=True)
class Receipt:
    """What a sync did and what is up by now. Written to `wandb/receipt.json` in the sweep's folder."""

    server: str
    path: Path
    uploaded: list[Upload] = field(default_factory=list)
    failed: list[Upload] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    """Folders of runs that were up before, unchanged."""

    @property
    def complete(self) -> bool:
        return not self.failed


def sync(
    sweep_folder: Path,
    *,
    limit: int = 4,
    retries: int = 3,
    attempt_seconds: float = ATTEMPT_SECONDS,
    pause: float = 1.0,
    report: Callable[[Upload], None] | None = None,
) -> Receipt:
    """Upload the runs of a sweep that are not up yet.

    Args:
        limit: runs in flight at once.
        retries: further attempts after a failed one, `pause` seconds after it, then twice as long, and so on.
        report: called after each run, from the thread that uploaded it.

    Raises:
        ConfigError: no key, no server, or no runs.
    """
    for name, value, least in (("limit", limit, 1), ("retries", retries, 0)):
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")
    files = [path for path in offline.run_files(sweep_folder) if path.parent.name.startswith("offline-")]
    if not files:
        raise ConfigError(f"{sweep_folder}: holds no offline W&B run")
    if reason := online.problem():
        raise ConfigError(f"nothing was uploaded: {reason}")
    server, path = online.server_url(), sweep_folder / WANDB / RECEIPT
    up = _read_receipt(path, server)
    missing = [file for file in files if up.get(file.parent.name, {}).get("bytes") != file.stat().st_size]
    receipt = Receipt(server, path, already=[file.parent.name for file in files if file not in missing])
    lock = threading.Lock()

    def one(file: Path) -> None:
        upload = _upload(file, retries, attempt_seconds, pause)
        with lock:
            (receipt.failed if upload.error else receipt.uploaded).append(upload)
            _write_receipt(path, server, up, upload)
        if report:
            report(upload)

    with ThreadPoolExecutor(max_workers=limit) as pool:
        list(pool.map(one, missing))
    return receipt


def _read_receipt(path: Path, server: str) -> dict[str, Any]:
    """What is up on this server, by run folder. A damaged receipt counts as none: the server is asked anyway."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        runs: dict[str, Any] = content["servers"].get(server, {})
    except (OSError, ValueError, KeyError, AttributeError):
        return {}
    return runs


def _write_receipt(path: Path, server: str, up: dict[str, Any], upload: Upload) -> None:
    try:
        servers = json.loads(path.read_text(encoding="utf-8"))["servers"]
    except (OSError, ValueError, KeyError):
        servers = {}
    if upload.error is None:
        up[upload.run] = asdict(upload)
    write_json(path, {"schema": 1, "servers": {**servers, server: up}})


def _upload(file: Path, retries: int, attempt_seconds: float, pause: float) -> Upload:
    size = file.stat().st_size
    for attempt in range(retries + 1):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        error, url = _attempt(file, attempt_seconds)
        if error is None:
            break
    if error is not None:  # `wandb sync` may have marked it
        file.with_suffix(".wandb.synced").unlink(missing_ok=True)
    return Upload(file.parent.name, size, attempt + 1, error, url, datetime.now(UTC).isoformat(timespec="seconds"))


def _attempt(file: Path, seconds: float) -> tuple[str | None, str | None]:
    """`wandb sync` of one run in a process of its own. Returns what went wrong, and the run's address."""
    with tempfile.TemporaryDirectory(prefix="elbosweep-sync-") as scratch:
        try:
            to_send = _what_is_missing(file, Path(scratch))
        except (OSError, ValueError) as error:
            return _without_key(f"the server did not say what it has ({error})"), None
        environ = {key: value for key, value in os.environ.items() if key not in ("WANDB_MODE", "WANDB_SERVICE")}
        environ |= CLIENT_RETRIES | {"WANDB_ERROR_REPORTING": "false", "WANDB_CACHE_DIR": scratch}
        environ["WANDB_DIR"] = scratch
        command = [*offline.wandb_command(), "sync", "--include-synced", str(to_send.parent)]
        try:
            done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            return f"no answer within {seconds:g} s", None
        output = done.stdout + done.stderr
        problems = _errors_in_output(output) + _errors_in_logs(Path(scratch))
        synced = to_send.with_suffix(".wandb.synced").is_file()
    address = re.search(r"View run .* at (\S+)", output)
    if not problems and (done.returncode or not synced):
        problems = [" ".join(output.split())[-300:] or f"wandb sync ended with {done.returncode}"]
    if not problems:  # a later `wandb sync` by hand skips it
        file.with_suffix(".wandb.synced").touch()
    return (_without_key(problems[0]) if problems else None), address[1] if address else None


def _what_is_missing(file: Path, scratch: Path) -> Path:
    """The run's log; where the server has some of its rows, a copy without them (in a run folder of the same name)."""
    run = next((record["run"] for record in offline.read(file) if record["type"] == "run"), None)
    if run is None:
        return file
    rows = online.rows_on_server(run["run_id"], run.get("project", ""), run.get("entity") or None)
    if not rows:
        return file
    copy = scratch / "rest" / file.parent.name / file.name
    copy.parent.mkdir(parents=True)
    transaction_log.without_first_rows(file, copy, rows)
    shutil.copytree(file.parent / "files", copy.parent / "files")
    return copy


def _errors_in_output(output: str) -> list[str]:
    return re.findall(r"ERROR (.*)", output)


def _errors_in_logs(folder: Path) -> list[str]:
    """A file that could not be uploaded is mentioned nowhere else."""
    lines = [line for path in folder.rglob("debug-sync*.log") for line in path.read_text(errors="replace").splitlines()]
    return [str(entry.get("msg")).splitlines()[0] for entry in map(_entry, lines) if entry.get("level") == "ERROR"]


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _without_key(text: str) -> str:
    key = online.find_key()
    return text.replace(key, "***") if key else text
