"""Signals (Ctrl-C, SIGTERM, a closed terminal) stop a sweep: the first cleanly, a second one, or a hang, at once.

Python runs signal handlers in the main thread, which may be waiting inside Ray. The interpreter also writes every
signal into a pipe: a thread reads it and ends the process where the main thread does not.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import psutil

from sweeps.machine import scratch
from sweeps.machine.exit_codes import ExitCode

GRACE_SECONDS = 13.0
"""What a clean stop may take; after that the process is ended."""
SAME_SECONDS = 0.4
"""Signals so close together are one: terminals, `timeout` and launchers send theirs to a process and to its group."""
LOOK_SECONDS = 2.0
"""How often the processes that Ray started are listed."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ignore_more(code: ExitCode) -> None:
    """After an interrupted sweep, let the process end with this exit code: one more Ctrl-C changes nothing."""
    if code == ExitCode.INTERRUPTED:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


class Interrupts:
    """Turns signals into the end of a sweep. Signals belong to the main thread: in any other this does nothing."""

    def __init__(self, notice: str, at_once: Callable[[], object] = lambda: None) -> None:
        """`notice` is printed, and `at_once` called, where the process ends without a clean stop."""
        self.notice, self.at_once = notice, at_once
        self.full_disk: str | None = None
        """Where the sweep found no space, if that is why it stops."""
        self._first: float | None = None
        self._told: tuple[Callable[[], object], ...] = ()
        self._ray: list[Any] = []
        """Ray's raylet and gcs_server: when one dies the sweep hangs, or Ray ends it after a minute, silently."""
        self._started: list[Any] = []
        """All processes below this one when last listed: a raylet that dies leaves its workers without a parent."""
        self._hangs_up = False
        self._in_main_thread = threading.current_thread() is threading.main_thread()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take over the signals; outside `stopping`, the first one raises KeyboardInterrupt."""
        if not self._in_main_thread:
            yield
            return
        before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGUSR1)}
        read, write = os.pipe()
        os.set_blocking(write, False)
        self._hangs_up = before[signal.SIGHUP] is not signal.SIG_IGN  # as it is under nohup
        self._install()
        # Ray and W&B inherit the blocked SIGHUP and outlive a closed terminal; the thread below takes the signal.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        thread = threading.Thread(target=self._watch, args=(read,), name="interrupts", daemon=True)
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            os.close(write)
            thread.join()
            os.close(read)
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    @contextmanager
    def stopping(self, *told: Callable[[], object]) -> Iterator[None]:
        """While Tune runs, a signal calls `told` and lets Tune stop its trials.

        Entered after `ray.init`, which installs a handler of its own.
        """
        self._told = told
        if not self._in_main_thread:
            yield
            return
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Tune's is left at SIGUSR1, where `stop` finds it
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        self._install()
        self._ray = [child for child in _children() if child.name() in ("raylet", "gcs_server")]
        try:
            yield
        finally:
            self._ray = []
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            del os.environ["TUNE_DISABLE_SIGINT_HANDLER"]

    @property
    def asked(self) -> bool:
        """Whether the sweep is stopping before its end: a worker that dies from then on is no trial's failure."""
        return self._first is not None or self.full_disk is not None

    def stop(self) -> None:
        """Stop cleanly, as the first signal does: through Tune if it runs, else by KeyboardInterrupt."""
        for tell in self._told:
            tell()
        tunes_own = signal.getsignal(signal.SIGUSR1)
        if not callable(tunes_own):
            raise KeyboardInterrupt
        tunes_own(signal.SIGUSR1, None)

    def _install(self) -> None:
        for number in SIGNALS:
            if number != signal.SIGHUP or self._hangs_up:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._first is None:  # the thread sees to all later ones
            self._first = time.monotonic()
            self.stop()

    def _watch(self, pipe: int) -> None:
        """Read the pipe until it is closed; end the process at a second signal, at a stop that hangs, if Ray dies."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        began: float | None = None
        looked = 0.0
        while True:
            ready, _, _ = select.select([pipe], [], [], 0.2)
            now = time.monotonic()
            if self._ray and now - looked > LOOK_SECONDS and not any(map(_is_dead, self._ray)):
                self._started, looked = _children(recursive=True), now
            if ready:
                received = os.read(pipe, 64)
                if not received:
                    return
                if any(number in SIGNALS for number in received):
                    if began is not None and now - began > SAME_SECONDS:
                        self._leave(self.notice, ExitCode.INTERRUPTED)
                    began = began or now
            if began is not None and now - began > GRACE_SECONDS:
                self._leave(self.notice, ExitCode.INTERRUPTED)
            if began is None and (dead := [process.name() for process in self._ray if _is_dead(process)]):
                self._leave(f"Ray's {dead[0]} died: {self.notice}", ExitCode.FAILED)

    def _leave(self, words: str, code: int) -> NoReturn:
        """End the process at once: wait for no lock and ask no other thread."""
        with suppress(OSError):
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{words}\n".encode())
        with suppress(Exception):
            self.at_once()
        # Parents come before their children. psutil checks creation times, so a reused PID is never killed.
        for process in [*_children(recursive=True), *self._started]:
            with suppress(psutil.Error):
                process.kill()
        with suppress(Exception):
            scratch.remove_own()
        with suppress(Exception):
            self.at_once()  # again: the main thread may have written since
        os._exit(code)


def _children(recursive: bool = False) -> list[Any]:
    children: list[Any] = psutil.Process().children(recursive=recursive)
    return children


def _is_dead(process: Any) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
