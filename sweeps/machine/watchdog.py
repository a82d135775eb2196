"""Ends an attempt that exceeds its time, and finds out why a worker process died that left no message."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ERROR_FILE = "error.txt"
"""What an attempt raised: a traceback, and the reason in the last line."""
STACKS_FILE = "stacks.txt"
"""Stacks of all threads at the moment when the time was over."""


@contextmanager
def time_limit(folder: Path, minutes: float | None) -> Iterator[None]:
    """End the process when the time is over, even if it hangs outside Python, and leave its stacks in `folder`."""
    path = folder / STACKS_FILE
    path.unlink(missing_ok=True)
    if minutes is None:
        yield
        return
    with path.open("w", encoding="utf-8") as file:
        print(f"exceeded its time limit of {minutes:g} min", file=file, flush=True)
        faulthandler.dump_traceback_later(60 * minutes, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            path.unlink(missing_ok=True)


def last_words(folder: Path) -> str:
    """The log of the last attempt, with the reason of its failure in the last line; empty if it left no message."""
    error, stacks = _text(folder / ERROR_FILE), _text(folder / STACKS_FILE)
    if error or "Timeout (" not in stacks:
        return error
    reason, _, dump = stacks.partition("\n")
    return f"{dump}\n{reason}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""


def cause_of_death(error_file: str | None, kills_before: int) -> str:
    """Say why a worker process died, as far as Ray's message and the kernel's count of kills for memory tell."""
    message = _text(Path(error_file)) if error_file else ""
    if "memory" in message.lower() and "OutOfMemoryError" in message:
        return "out of memory: Ray ended its worker process before the machine ran out of it"
    if kernel_kills() > kills_before:
        return "its worker process died, most likely of memory: the kernel killed a process for it meanwhile"
    return "its worker process died without a message"


def kernel_kills() -> int:
    """How many processes the kernel has killed for memory since the machine was started (0 where it does not tell)."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
