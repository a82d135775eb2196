"""Exit codes of the command line and of `Sweep.run`: what shells, batch systems and notebooks go by."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    """Some trials failed, records disagree, or the disk or Ray gave out; what is there is whole."""
    BAD_INPUT = 2
    INTERRUPTED = 130
    """By a signal, as shells say it: 128 + SIGINT."""
