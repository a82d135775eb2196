"""Signals stop a sweep: once cleanly, twice at once, and its neighbours never."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest
import sweep_program
from fake_trial import FakeTrial
from programs import Program

from pipeline.files import read_json
from sweeps.machine.exit_codes import ExitCode
from sweeps.machine.interrupts import Interrupts


def driver(runs_dir: Path, name: str, seconds: float) -> Program:
    """A sweep of two fake trials in a process of its own, with a temporary folder that is looked at afterwards."""
    base = {"training": {"epochs": 3}, "replicates": 2}
    tree = {"name": name, "base": base, "factors": {"model.latent_dim": [2, 4]}, "tracking": {"wandb": "disabled"}}
    temporary = {"TMPDIR": str(runs_dir / "t")}
    return sweep_program.start("run", runs_dir, tree, FakeTrial(seconds=seconds), workers=1, environment=temporary)


def test_twice_is_at_once_and_leaves_nothing_and_no_one_else_notices() -> None:
    """At once: the trial under way would take many minutes more."""
    with tempfile.TemporaryDirectory(prefix="e") as short:  # Ray's sockets need a short path
        runs_dir = Path(short)
        (runs_dir / "t").mkdir()
        with driver(runs_dir, "hurried", 600.0) as hurried, driver(runs_dir, "calm", 0.1) as calm:
            hurried.wait_until(lambda: any(runs_dir.glob("hurried/trials/*/starts.jsonl")), "a first trial")
            hurried.process.send_signal(signal.SIGINT)
            time.sleep(0.6)
            hurried.process.send_signal(signal.SIGINT)
            assert hurried.end(seconds=30) == ExitCode.INTERRUPTED, hurried.said()
            assert "interrupted; to go on: elbosweep resume hurried" in hurried.said()
            assert read_json(runs_dir / "hurried" / "sweep.json")["state"] == "interrupted"
            assert not (runs_dir / "hurried" / "references.parquet").exists(), "a clean stop writes it"
            assert not list((runs_dir / "t").glob(f"elbosweep-{hurried.process.pid}-*"))
            assert calm.end() == ExitCode.DONE, calm.said()
            assert [path.name for path in (runs_dir / "t").glob("elbosweep-*")] == []


# --- without a sweep ------------------------------------------------------------------------------------------------


def test_the_exit_codes_are_those_that_shells_and_batch_systems_know() -> None:
    assert {code.name: int(code) for code in ExitCode} == {"DONE": 0, "FAILED": 1, "BAD_INPUT": 2, "INTERRUPTED": 130}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_tune_runs_is_a_keyboard_interrupt(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    signal.signal(number, signal.SIG_DFL)  # a shell may run the tests deaf to it
    try:
        interrupts = Interrupts("stopped")
        with interrupts.watched():
            with pytest.raises(KeyboardInterrupt):
                signal.getsignal(number)(number, None)  # type: ignore[operator, misc, arg-type]
            assert interrupts.asked
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_signal_while_tune_runs_goes_to_tune_and_to_who_asked_to_be_told() -> None:
    told: list[str] = []
    before = signal.getsignal(signal.SIGUSR1)
    interrupts = Interrupts("stopped")
    with interrupts.watched(), interrupts.stopping(lambda: told.append("tracker")):
        assert os.environ["TUNE_DISABLE_SIGINT_HANDLER"] == "1"
        signal.signal(signal.SIGUSR1, lambda number, frame: told.append("Tune"))
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # so soon after the first one it is the same
    assert told == ["tracker", "Tune"]
    assert interrupts.asked
    assert "TUNE_DISABLE_SIGINT_HANDLER" not in os.environ
    assert signal.getsignal(signal.SIGUSR1) == before
