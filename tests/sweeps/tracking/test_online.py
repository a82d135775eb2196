"""Online: what is looked at before, what arrives, and how a server that fails leaves whole offline runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trial_folders import CONFIG, METRICS, history_rows, log_epochs, rows_of, wait_for, write_trial
from wandb_server import KEY, restart_service, serving

from sweeps.tracking import client, offline, online
from sweeps.tracking.epochs import metrics_by_epoch
from sweeps.tracking.trial_runs import TrialRuns, choose_mode


def test_online_without_a_key_is_one_line_and_offline() -> None:
    mode, line = choose_mode("online", {"WANDB_BASE_URL": "http://127.0.0.1:9", "NETRC": "/nonexistent"})
    assert mode == "offline"
    assert line is not None
    assert "there is no W&B key for http://127.0.0.1:9" in line


def test_online_with_an_unreachable_server_is_one_line_and_offline() -> None:
    mode, line = choose_mode("online", {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": KEY})
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
