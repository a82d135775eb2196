"""Programs that tests start: what they say is kept, and shown where they fail."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

SHOWN = 4000
"""Characters of a program's last output that a failure shows."""


class ProgramError(AssertionError):
    """A program did not do what the test needs it for; the message ends with what the program said."""


class Program:
    """A running program whose standard error goes to a file; used with `with`, it is gone at the end.

    A file and not a pipe: nobody has to read it for the program to go on, and its children may keep it open.

    Args:
        command: The program and its arguments.
        environment: All of its environment variables; without it, those of the tests.
        folder: Where it starts.
        answers: Keep the standard output apart, as a pipe to read from (`stdout`); otherwise it joins the error.
        obeys: Give it a standard input to write to; otherwise it has none.
        session: Start it in a session of its own, so that a signal to it does not reach the tests.
        before: Called in the new process before the program starts.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        answers: bool = False,
        obeys: bool = False,
        session: bool = False,
        before: Callable[[], None] | None = None,
    ) -> None:
        self.command = list(command)
        self._output = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE if obeys else subprocess.DEVNULL,
            stdout=subprocess.PIPE if answers else self._output,
            stderr=self._output,
            text=True,
            env=environment,
            cwd=folder,
            start_new_session=session,
            preexec_fn=before,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill it where it still runs, and forget what it said."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._output):
            if stream is not None:
                stream.close()

    def said(self) -> str:
        """All that it has written so far."""
        self._output.seek(0)
        return self._output.read()

    def failed(self, what: str) -> ProgramError:
        """The error to raise: what is wrong, how the program ended, and the end of what it said."""
        code = self.process.poll()
        state = "still runs" if code is None else f"ended with code {code}"
        return ProgramError(f"{what}; {' '.join(self.command)} {state} and said:\n{self.said()[-SHOWN:]}")

    def wait_until(self, holds: Callable[[], bool], what: str, *, seconds: float = 120.0, pause: float = 0.05) -> None:
        """Wait for a condition, as long as the program runs.

        Raises:
            ProgramError: It ended first, or the condition does not come to hold.
        """
        until = time.monotonic() + seconds
        while not holds():
            if self.process.poll() is not None:
                raise self.failed(f"ended before {what}")
            if time.monotonic() > until:
                raise self.failed(f"{seconds:g} s without {what}")
            time.sleep(pause)

    def end(self, *, seconds: float = 120.0) -> int:
        """Wait for its end and give back its exit code.

        Raises:
            ProgramError: It does not end; it is killed then.
        """
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise self.failed(f"did not end within {seconds:g} s and was killed") from None
