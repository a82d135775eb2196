from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from child_environment import ROOT, child_environment
from trial_folders import CONFIG, METRICS, history_rows, log_epochs, variance_rows, write_trial
from wandb_server import KEY, serving

from pipeline.config import flatten
from pipeline.means import report_metrics
from sweeps.specification.options import TrackingConfig
from sweeps.tracking import client, offline, online
from sweeps.tracking.epochs import metrics_by_epoch, metrics_of
from sweeps.tracking.trial_runs import TrialRuns, choose_mode, sweep_id


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def warnings_shown() -> list[str]:
    return []


@pytest.fixture
def make_runs(tmp_path: Path, warnings_shown: list[str]) -> Iterator[Callable[..., TrialRuns]]:
    made: list[TrialRuns] = []

    def make(**settings: Any) -> TrialRuns:
        made.append(TrialRuns(tmp_path, "demo", TrackingConfig(**settings), warnings_shown.append))
        return made[-1]

    yield make
    for runs in made:
        runs.close()


def rows_of(sweep_folder: Path, number: int) -> dict[int, dict[str, float]]:
    """Epoch -> metrics of the trial's only run; W&B's own columns left out."""
    (file,) = [path for path in offline.run_files(sweep_folder) if offline.trial_number(path) == number]
    rows = [row for row in offline.history(file) if "epoch" in row]
    assert len({row["epoch"] for row in rows}) == len(rows)
    return {
        row["epoch"]: {name: value for name, value in row.items() if name[0] != "_" and name != "epoch"} for row in rows
    }


def run_record(sweep_folder: Path) -> dict[str, Any]:
    (file,) = offline.run_files(sweep_folder)
    return next(record["run"] for record in offline.read(file) if record["type"] == "run")


def test_each_trial_is_one_run_and_its_rows_are_those_of_the_record(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], warnings_shown: list[str]
) -> None:
    runs = make_runs()
    for number in (0, 1, 11):
        runs.start(number, CONFIG, "search")
    for number in (0, 1, 11):
        log_epochs(runs, number, range(5))
    for number in (0, 1, 11):
        runs.finish(number, write_trial(tmp_path, number, 4), "finished")
    runs.close()
    expected = metrics_by_epoch(history_rows(4))
    assert [rows_of(tmp_path, number) for number in (0, 1, 11)] == [expected] * 3
    logged = offline.count(tmp_path)
    assert {(seen.rows, seen.epochs, seen.state) for seen in logged.values()} == {(5, 5, "finished")}
    assert list(logged) == [0, 1, 11]
    assert warnings_shown == []
    assert runs.degraded == set()


def test_documented_command_reads_the_same_rows(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs()
    runs.start(3, CONFIG, "search")
    runs.finish(3, write_trial(tmp_path, 3, 4), "finished")
    runs.close()
    (file,) = offline.run_files(tmp_path)
    command = [*offline.wandb_command(), "leet", "inspect", "--json", str(file.parent)]
    environ = {**os.environ, "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}
    output = subprocess.run(command, capture_output=True, text=True, env=environ, check=True).stdout
    records = [json.loads(line) for line in output.splitlines()]
    assert records == list(offline.read(file))
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    expected = metrics_by_epoch(history_rows(4))
    assert [row["_step"] for row in rows] == [0, 1, 2, 3, 4, 5]
    for row in rows[:5]:
        assert {name: value for name, value in row.items() if name[0] != "_"} == {
            "epoch": row["_step"],
            **expected[row["_step"]],
        }


def test_run_carries_configuration_group_phase_and_tags(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs(tags=("digits", "cpu"), project="vae", entity="lab")
    runs.start(7, CONFIG, "confirm")
    runs.close()
    record = run_record(tmp_path)
    config = {key: value for key, value in record["config"]["update"].items() if key != "_wandb"}
    assert flatten(config) == {**CONFIG, "trial": 7}
    identity = sweep_id(tmp_path, "demo")
    assert (record["run_id"], record["run_group"]) == (f"{identity}-0007", identity)
    assert (record["job_type"], record["tags"], record["project"]) == ("confirm", ["digits", "cpu"], "vae")
    assert (record["entity"], record["display_name"]) == ("lab", "0007")


def test_summary_pictures_and_variance_table(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    runs.finish(0, write_trial(tmp_path, 0, 3), "finished")
    runs.close()
    (file,) = offline.run_files(tmp_path)
    summary: dict[str, Any] = {}
    for record in offline.read(file):
        if record["type"] == "summary":
            summary |= record["summary"]["update"]
    assert {name: summary[name] for name in METRICS} == METRICS
    assert (summary["status"], summary["suspect"], summary["seconds.total"]) == ("finished", "k > 0.7", 3)
    media = offline.history(file)[-1]
    for name in ("samples", "reconstructions"):
        logged = file.parent / "files" / media[f"pictures/{name}.path"]
        assert logged.read_bytes() == (tmp_path / f"trials/0000/pictures/{name}.png").read_bytes()
    for name in ("result.json", "history.jsonl", "variance.jsonl"):
        assert (file.parent / "files" / name).read_bytes() == (tmp_path / "trials" / "0000" / name).read_bytes()
    table = json.loads((file.parent / "files" / media["variance.path"]).read_text())
    assert [dict(zip(table["columns"], row)) for row in table["data"]] == variance_rows()


def test_summary_keeps_the_best_bound_of_a_trial_that_was_interrupted(
    tmp_path: Path, make_runs: Callable[..., TrialRuns]
) -> None:
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    for epoch, bound in enumerate((-300.0, -100.0, -200.0)):
        runs.log(0, epoch, {"validation.elbo": bound, "validation.bits_per_dim": -bound / 100})
    runs.close()
    (file,) = offline.run_files(tmp_path)
    updates = [record["summary"]["update"] for record in offline.read(file) if record["type"] == "summary"]
    last = [update for update in updates if "validation.elbo" in update][-1]
    assert last["validation.elbo"] == {"max": -100}
    assert last["validation.bits_per_dim"] == {"min": 1}


@pytest.mark.parametrize(("artifacts", "files"), [("off", None), ("best", 3), ("all", 3)])
def test_checkpoints_travel_as_artifact(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], artifacts: str, files: int | None
) -> None:
    folder = write_trial(tmp_path, 0, 1)
    (folder / "config.yaml").write_text("{}\n")
    runs = make_runs(artifacts=artifacts)
    runs.start(0, CONFIG, "search")
    runs.finish(0, folder, "finished")
    runs.close()
    (file,) = offline.run_files(tmp_path)
    found = [record["artifact"] for record in offline.read(file) if record["type"] == "artifact"]
    checkpoints = [len(item["manifest"]["contents"]) for item in found if item["type"] == "checkpoint"]
    assert checkpoints == ([] if files is None else [files])


def test_the_report_is_an_artifact_of_a_run_of_its_own_and_replaces_the_one_before(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], warnings_shown: list[str]
) -> None:
    report = tmp_path / "reports" / "demo"
    (report / "figures").mkdir(parents=True)
    (report / "index.html").write_text("<html>")
    (report / "figures" / "bound.svg").write_text("<svg/>")
    for _ in range(2):
        runs = make_runs()
        runs.report(report)
        runs.close()
    assert run_record(tmp_path)["job_type"] == "report"
    (file,) = offline.run_files(tmp_path)
    (artifact,) = [record["artifact"] for record in offline.read(file) if record["type"] == "artifact"]
    assert artifact["type"] == "report"
    assert sorted(entry["path"] for entry in artifact["manifest"]["contents"]) == ["figures/bound.svg", "index.html"]
    assert offline.count(tmp_path) == {}, "it is no trial"
    assert warnings_shown == []


def test_an_interrupt_ends_the_runs_and_leaves_later_epochs_to_a_resume(
    tmp_path: Path, make_runs: Callable[..., TrialRuns]
) -> None:
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    log_epochs(runs, 0, range(3))
    runs.interrupt()
    log_epochs(runs, 0, range(3, 5))
    assert wait_for(lambda: offline.count(tmp_path).get(0) == offline.Logged(3, 3, 2, "interrupted"), 10)
    runs.close()
    assert offline.count(tmp_path)[0].rows == 3


@pytest.mark.parametrize("status", ["finished", "stopped", "failed"])
def test_end_of_a_trial_is_the_state_of_its_run(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], status: str
) -> None:
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    log_epochs(runs, 0, range(2))
    runs.finish(0, write_trial(tmp_path, 0, 1, finished=False), status)
    runs.close()
    assert offline.count(tmp_path)[0].state == ("failed" if status == "failed" else "finished")
    (file,) = offline.run_files(tmp_path)
    updates = [record["summary"]["update"] for record in offline.read(file) if record["type"] == "summary"]
    assert [update["status"] for update in updates if "status" in update][-1] == status


def test_closing_ends_open_runs_as_interrupted_at_once(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs()
    for number in range(4):
        runs.start(number, CONFIG, "search")
        log_epochs(runs, number, range(3))
    started = time.monotonic()
    runs.close()
    assert time.monotonic() - started < 10
    logged = offline.count(tmp_path).values()
    assert [(seen.epochs, seen.state) for seen in logged] == [(3, "interrupted")] * 4


def test_environment_is_given_back(monkeypatch: pytest.MonkeyPatch, make_runs: Callable[..., TrialRuns]) -> None:
    monkeypatch.setenv("WANDB_MODE", "shared")
    before = dict(os.environ)
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    runs.close()
    assert dict(os.environ) == before


def test_a_sweep_made_anew_under_an_old_name_is_another_sweep(tmp_path: Path) -> None:
    first = sweep_id(tmp_path / "a", "my sweep/1")
    assert sweep_id(tmp_path / "a", "my sweep/1") == first
    assert first.startswith("my-sweep-1-")
    assert sweep_id(tmp_path / "b", "my sweep/1") != first


def test_epochs_from_the_record_are_what_the_trial_reported() -> None:
    rows = history_rows(3, replicates=3)
    reports = {epoch: report_metrics([row for row in rows if row["epoch"] == epoch]) for epoch in range(4)}
    assert metrics_by_epoch(rows) == {epoch: metrics_of(report) for epoch, report in reports.items()}
    assert "step" in reports[1]
    assert "step" not in metrics_by_epoch(rows)[1]


# --- interrupts and gaps: every epoch present exactly once ----------------------------------------------------------


def test_after_a_kill_the_resumed_run_is_whole(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], warnings_shown: list[str]
) -> None:
    """Killed after epoch 9; the checkpoint that the trial goes on from was written at epoch 6."""
    script = f"""
        import time
        from pathlib import Path
        from sweeps.tracking.trial_runs import TrialRuns
        from trial_folders import CONFIG, log_epochs
        runs = TrialRuns(Path({str(tmp_path)!r}), "demo")
        runs.start(0, CONFIG, "search")
        log_epochs(runs, 0, range(10))
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    process = subprocess.Popen(command, cwd=ROOT, env=child_environment())
    try:
        assert wait_for(lambda: 0 in (seen := offline.count(tmp_path)) and seen[0].epochs >= 8, 40)
    finally:
        process.kill()
        process.wait()
    assert offline.count(tmp_path)[0].state == "running"
    write_trial(tmp_path, 0, 6, finished=False)
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    log_epochs(runs, 0, range(7, 13))
    runs.finish(0, write_trial(tmp_path, 0, 12), "finished")
    runs.close()
    assert rows_of(tmp_path, 0) == metrics_by_epoch(history_rows(12))
    assert offline.count(tmp_path)[0].state == "finished"
    assert warnings_shown == []


def test_epochs_that_were_never_reported_come_from_the_record(
    tmp_path: Path, make_runs: Callable[..., TrialRuns]
) -> None:
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    log_epochs(runs, 0, range(2))
    log_epochs(runs, 0, range(4, 6))
    runs.finish(0, write_trial(tmp_path, 0, 7), "finished")
    runs.close()
    assert rows_of(tmp_path, 0) == metrics_by_epoch(history_rows(7))


def test_a_repeated_epoch_is_logged_once(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    log_epochs(runs, 0, range(4))
    log_epochs(runs, 0, range(2, 6))
    runs.close()
    assert list(rows_of(tmp_path, 0)) == list(range(6))


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


# --- what breaks costs the copy, never the trial --------------------------------------------------------------------


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
    assert wait_for(lambda: len(runs._runs) == 2 and runs._queue.empty(), 20)
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


# --- modes ----------------------------------------------------------------------------------------------------------


def test_disabled_writes_nothing(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs(wandb="disabled")
    runs.start(0, CONFIG, "search")
    runs.finish(0, write_trial(tmp_path, 0, 1), "finished")
    runs.close()
    assert not (tmp_path / "wandb").exists()


def test_online_without_a_key_is_one_line_and_offline() -> None:
    mode, line = choose_mode("online", {"WANDB_BASE_URL": "http://127.0.0.1:9", "NETRC": "/nonexistent"})
    assert mode == "offline"
    assert line is not None
    assert "there is no W&B key for http://127.0.0.1:9" in line


def test_online_with_an_unreachable_server_is_one_line_within_seconds() -> None:
    started = time.monotonic()
    mode, line = choose_mode("online", {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": KEY})
    assert time.monotonic() - started < 5
    assert mode == "offline"
    assert line is not None
    assert "the W&B server http://127.0.0.1:9 cannot be reached" in line
    assert KEY not in line


@pytest.mark.parametrize(("fault", "message"), [("500", "HTTP 500"), ("cut", "cannot be reached"), (2.0, "timed out")])
def test_probe_names_what_is_wrong(fault: Any, message: str) -> None:
    with serving() as server:
        server.fault = lambda request: fault
        reason = online.problem({"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}, timeout=0.5)
    assert reason is not None
    assert message in reason


@pytest.mark.parametrize("machine", ["api.wandb.ai", "api.forge.coreweave.com"])
def test_keys_for_the_public_server_are_found_under_its_old_and_its_new_name(tmp_path: Path, machine: str) -> None:
    from wandb.sdk.lib import urls

    (tmp_path / "netrc").write_text(f"machine {machine} login user password {KEY}\n")
    assert online.server_url({}) == urls.DEFAULT_BASE_URL
    assert online.find_key({"NETRC": str(tmp_path / "netrc")}) == KEY


def test_key_is_found_in_the_netrc_file(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text(f"machine 127.0.0.1 login user password {KEY}\n")
    path.chmod(0o600)
    assert online.find_key({"WANDB_BASE_URL": "http://127.0.0.1:80", "NETRC": str(path)}) == KEY
    assert online.find_key({"WANDB_BASE_URL": "http://example.invalid", "NETRC": str(path)}) is None


def test_online_runs_arrive_and_the_key_stays_secret(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_runs: Callable[..., TrialRuns],
    warnings_shown: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        restart_service()
        runs = make_runs(wandb="online")
        runs.start(0, CONFIG, "search")
        log_epochs(runs, 0, range(3))
        runs.finish(0, write_trial(tmp_path, 0, 4), "finished")
        runs.close(30)
        (record,) = server.runs.values()
        restart_service()
    assert [row["epoch"] for row in record.history if "epoch" in row] == [0, 1, 2, 3, 4]
    assert record.exit_codes == [0]
    assert record.summary["test.elbo"] == METRICS["test.elbo"]
    assert warnings_shown == []
    assert KEY not in "".join(capfd.readouterr())
    leaks = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert leaks == []


@pytest.mark.slow
def test_server_that_dies_in_mid_run_leaves_a_whole_offline_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_runs: Callable[..., TrialRuns],
    warnings_shown: list[str],
) -> None:
    monkeypatch.setitem(client.SETTINGS, "finish_timeout", 1.0)
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        restart_service()
        runs = make_runs(wandb="online")
        runs.start(0, CONFIG, "search")
        log_epochs(runs, 0, range(3))
        assert wait_for(lambda: len(server.runs) == 1, 20)
        server.fault = lambda request: "500"
        runs.finish(0, write_trial(tmp_path, 0, 4), "finished")
        runs.close(30)
        restart_service()
    assert rows_of(tmp_path, 0) == metrics_by_epoch(history_rows(4))
    assert offline.count(tmp_path)[0].state == "finished"
    assert [line for line in warnings_shown if "W&B goes on offline" in line] == warnings_shown
    assert len(warnings_shown) == 1


def restart_service() -> None:
    """The client reads server and key once per process."""
    import wandb

    with contextlib.suppress(ConnectionError, TimeoutError):
        wandb.teardown()


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
