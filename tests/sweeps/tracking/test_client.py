"""What the W&B client and its service may do to a sweep: nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from child_environment import ROOT, child_environment
from trial_folders import CONFIG, history_rows, log_epochs, rows_of, wait_for, write_trial
from wandb_server import KEY, restart_service, serving

from sweeps.tracking import offline
from sweeps.tracking.epochs import metrics_by_epoch
from sweeps.tracking.trial_runs import TrialRuns


def test_folder_that_cannot_be_written_costs_one_warning(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], warnings_shown: list[str]
) -> None:
    (tmp_path / "wandb").write_text("in the way")
    runs = make_runs()
    for number in range(2):
        runs.start(number, CONFIG, "search")
        log_epochs(runs, number, range(3))
        runs.finish(number, write_trial(tmp_path, number, 2), "finished")
    runs.close()
    assert len(warnings_shown) == 1
    assert "the W&B copy of trial 0 is incomplete" in warnings_shown[0]
    assert runs.degraded == {0, 1}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the service's process in /proc")
def test_runs_survive_the_death_of_the_wandb_service(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], warnings_shown: list[str]
) -> None:
    runs = make_runs()
    for number in range(2):
        runs.start(number, CONFIG, "search")
        log_epochs(runs, number, range(3))
    assert wait_for(lambda: sum(seen.epochs for seen in offline.count(tmp_path).values()) == 6, 20)
    for service in wandb_services():
        os.kill(service, signal.SIGKILL)
    for number in range(2):
        log_epochs(runs, number, range(3, 6))
        runs.finish(number, write_trial(tmp_path, number, 5), "finished")
    runs.close()
    for number in range(2):
        assert rows_of(tmp_path, number) == metrics_by_epoch(history_rows(5))
    assert (warnings_shown, runs.degraded) == ([], set())


def test_a_service_of_another_program_that_is_gone_is_replaced(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], monkeypatch: pytest.MonkeyPatch, warnings_shown: list[str]
) -> None:
    restart_service()
    monkeypatch.setenv("WANDB_SERVICE", f"3-{os.getpid()}-unix-{tmp_path}/socket")
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    log_epochs(runs, 0, range(3))
    runs.close()
    restart_service()
    assert len(rows_of(tmp_path, 0)) == 3
    assert (warnings_shown, runs.degraded) == ([], set())


def wandb_services() -> list[int]:
    """W&B services that this process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name == "wandb-core" and int(rest.split()[1]) == os.getpid():
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a limit on file sizes stands for the full disk")
def test_full_disk_costs_one_warning(tmp_path: Path) -> None:
    write_trial(tmp_path, 0, 200)
    script = f"""
        import resource
        from pathlib import Path
        from sweeps.tracking.trial_runs import TrialRuns
        from trial_folders import CONFIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        runs = TrialRuns(Path({str(tmp_path)!r}), "demo", warn=print)
        runs.start(0, CONFIG, "search")
        runs.finish(0, Path({str(tmp_path / "trials/0000")!r}), "finished")
        runs.close(300)
        print(sorted(runs.degraded))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=ROOT, env=child_environment(), capture_output=True, text=True)
    warning, degraded = done.stdout.splitlines()
    assert "the W&B copy of trial 0 is incomplete" in warning
    assert degraded == "[0]"
    seen = offline.count(tmp_path).get(0)
    assert seen is None or seen.epochs < 201


OFFLINE_SWEEP = """
    import sys
    from pathlib import Path
    from sweeps.tracking.trial_runs import TrialRuns
    from trial_folders import CONFIG
    folder = Path(sys.argv[1])
    runs = TrialRuns(folder, "demo")
    runs.start(0, CONFIG, "search")
    runs.finish(0, folder / "trials/0000", "finished")
    runs.close(300)
"""


@pytest.mark.slow
def test_offline_asks_no_server_even_with_a_key_at_hand(tmp_path: Path) -> None:
    write_trial(tmp_path, 0, 2)
    with serving() as server:
        environ = child_environment(WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY, HTTPS_PROXY=server.url)
        command = [sys.executable, "-c", textwrap.dedent(OFFLINE_SWEEP), str(tmp_path)]
        subprocess.run(command, cwd=ROOT, env=environ, check=True)
        assert server.requests == []
    assert offline.count(tmp_path)[0].epochs == 3


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace records the connections of the W&B service")
def test_offline_connects_nowhere_outside_the_loopback(tmp_path: Path) -> None:
    write_trial(tmp_path, 0, 2)
    trace = tmp_path / "connections"
    watch = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-e", "signal=none", "-o", str(trace)]
    command = [*watch, sys.executable, "-c", textwrap.dedent(OFFLINE_SWEEP), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=child_environment(), capture_output=True, text=True)
    if not trace.is_file() or "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert offline.count(tmp_path)[0].epochs == 3
    addresses = [line for line in trace.read_text().splitlines() if "AF_INET" in line]
    outside = [line for line in addresses if '"127.0.0.1"' not in line and '"::1"' not in line]
    assert outside == []
