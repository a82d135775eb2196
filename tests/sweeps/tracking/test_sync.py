from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from trial_folders import CONFIG, history_rows, log_epochs, write_trial
from wandb_server import KEY, Request, WandbServer, serving

from pipeline.config import ConfigError
from sweeps.tracking import offline, transaction_log
from sweeps.tracking.epochs import metrics_by_epoch
from sweeps.tracking.sync import CLIENT_RETRIES, sync
from sweeps.tracking.trial_runs import TrialRuns


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, no_account: None) -> Iterator[WandbServer]:
    with serving() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        waits = {name: "0.1" for name in CLIENT_RETRIES if "WAIT" in name}
        monkeypatch.setattr("sweeps.tracking.sync.CLIENT_RETRIES", {**CLIENT_RETRIES, **waits})
        yield running


def offline_sweep(sweep_folder: Path, trials: int, epochs: int = 3) -> list[str]:
    """Finished trials with offline runs. Returns the run ids."""
    runs = TrialRuns(sweep_folder, "demo")
    for number in range(trials):
        runs.start(number, CONFIG, "search")
        runs.finish(number, write_trial(sweep_folder, number, epochs), "finished")
    runs.close(120)
    return [path.stem.removeprefix("run-") for path in offline.run_files(sweep_folder)]


def epochs_of(server: WandbServer, run_id: str) -> list[int]:
    return [row["epoch"] for row in server.runs[run_id].history if "epoch" in row]


def test_everything_arrives_once_and_a_second_sync_sends_nothing(tmp_path: Path, server: WandbServer) -> None:
    ids = offline_sweep(tmp_path, 3)
    receipt = sync(tmp_path, limit=2)
    assert receipt.complete
    assert sorted(server.runs) == sorted(ids)
    expected = metrics_by_epoch(history_rows(3))
    for run_id in ids:
        rows = [row for row in server.runs[run_id].history if "epoch" in row]
        assert {
            row["epoch"]: {name: value for name, value in row.items() if name[0] != "_" and name != "epoch"}
            for row in rows
        } == expected
        assert len(rows) == 4
        assert server.runs[run_id].exit_codes == [0]
        assert server.runs[run_id].config["model"] == {"latent_dim": 8, "network": {"name": "mlp"}}
        assert server.runs[run_id].summary["test.elbo"] == -90.5
        assert sum(name.startswith("media/images/pictures/") for name in server.runs[run_id].files) == 2
    assert [artifact["committed"] for artifact in server.artifacts.values()] == [True] * 3
    sent = len(server.requests)
    again = sync(tmp_path)
    assert len(again.already) == 3
    assert [request.operation for request in server.requests[sent:]] == ["Viewer"]  # the probe
    written = json.loads(receipt.path.read_text())
    assert {entry["bytes"] > 0 for entry in written["servers"][server.url].values()} == {True}
    assert KEY not in receipt.path.read_text()


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("everything", "500"),
        pytest.param("rows", "500", marks=pytest.mark.slow),
        pytest.param("rows", "cut", marks=pytest.mark.slow),
        pytest.param("files", "500", marks=pytest.mark.slow),
        pytest.param("files", "cut", marks=pytest.mark.slow),
    ],
)
def test_a_bad_run_is_named_and_does_not_stop_the_rest(
    tmp_path: Path, server: WandbServer, fault: str, part: str
) -> None:
    good, bad = offline_sweep(tmp_path, 2)

    def faulty(request: Request) -> str | None:
        concerned = {
            "rows": request.path.endswith("file_stream"),
            "files": request.method == "PUT",
            "everything": True,
        }[part]
        return fault if request.run == bad and concerned else None

    server.fault = faulty
    receipt = sync(tmp_path, retries=0)
    assert [bad in upload.run for upload in receipt.failed] == [True]
    assert [good in upload.run for upload in receipt.uploaded] == [True]
    assert receipt.failed[0].error
    assert KEY not in receipt.failed[0].error
    assert not list(tmp_path.glob(f"wandb/*{bad}/*.synced"))

    server.fault = None
    sent = len(server.requests)
    healed = sync(tmp_path, retries=0)
    assert healed.complete
    assert [upload.run for upload in healed.uploaded] == [receipt.failed[0].run]
    assert good not in {request.run for request in server.requests[sent:]}
    assert epochs_of(server, bad) == [0, 1, 2, 3]


def test_a_run_that_fails_half_way_is_tried_again_without_repeating_rows(tmp_path: Path, server: WandbServer) -> None:
    (run_id,) = offline_sweep(tmp_path, 1, epochs=40)

    def first_attempt_loses_files(request: Request) -> str | None:
        """The rows arrive, and then the files fail until the client gives up."""
        attempts = len(server.operations("RunResumeStatus"))
        return "cut" if attempts < 2 and request.method == "PUT" else None

    server.fault = first_attempt_loses_files
    receipt = sync(tmp_path, retries=3, pause=0.1)
    assert [upload.attempts for upload in receipt.uploaded] == [2]
    assert epochs_of(server, run_id) == list(range(41))
    assert server.runs[run_id].exit_codes[-1] == 0
    assert sum(name.startswith("media/images/pictures/") for name in server.runs[run_id].files) == 2


@pytest.mark.slow
def test_a_run_uploaded_while_its_trial_was_interrupted_goes_on_where_it_was(
    tmp_path: Path, server: WandbServer
) -> None:
    runs = TrialRuns(tmp_path, "demo")
    runs.start(0, CONFIG, "search")
    write_trial(tmp_path, 0, 5, finished=False)
    log_epochs(runs, 0, range(6))
    runs.close(120)
    assert sync(tmp_path).complete
    resumed = TrialRuns(tmp_path, "demo")
    resumed.start(0, CONFIG, "search")
    log_epochs(resumed, 0, range(4, 9))
    resumed.finish(0, write_trial(tmp_path, 0, 8), "finished")
    resumed.close(120)
    assert sync(tmp_path).complete
    (run,) = server.runs.values()
    assert [row["epoch"] for row in run.history if "epoch" in row] == list(range(9))
    assert run.exit_codes == [255, 0]


def test_a_slow_server_is_given_up_and_the_run_stays_missing(tmp_path: Path, server: WandbServer) -> None:
    offline_sweep(tmp_path, 1)
    server.fault = lambda request: 30.0 if request.operation == "UpsertBucket" else None
    receipt = sync(tmp_path, retries=0, attempt_seconds=3)
    assert [upload.error for upload in receipt.failed] == ["no answer within 3 s"]


@pytest.mark.slow
def test_what_is_up_on_one_server_is_not_up_on_another(
    tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_id,) = offline_sweep(tmp_path, 1)
    sync(tmp_path)
    with serving() as other:
        monkeypatch.setenv("WANDB_BASE_URL", other.url)
        assert len(sync(tmp_path).uploaded) == 1
        assert epochs_of(other, run_id) == [0, 1, 2, 3]
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    assert len(sync(tmp_path).already) == 1


def test_user_errors_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="holds no offline W&B run"):
        sync(tmp_path)
    with pytest.raises(ConfigError, match="limit must be at least 1, got 0"):
        sync(tmp_path, limit=0)
    record = tmp_path / "wandb" / "offline-run-20260101_000000-demo-0000" / "run-demo-0000.wandb"
    record.parent.mkdir(parents=True)
    record.write_bytes(b"")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"nothing was uploaded: there is no W&B key for http://127\.0\.0\.1:9"):
        sync(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        sync(tmp_path)


@pytest.mark.parametrize("sizes", [(1,), (32754, 32755, 32756), (32761, 5), (100_000, 0, 3), (32748, 1, 1)])
def test_transaction_log_is_read_back_at_every_block_boundary(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    records = [bytes([index + 1]) * size for index, size in enumerate(sizes)]
    transaction_log.write(tmp_path / "log", records)
    assert list(transaction_log.read(tmp_path / "log")) == records


def test_transaction_log_of_the_client_is_copied_byte_for_byte(tmp_path: Path) -> None:
    offline_sweep(tmp_path, 1, epochs=60)
    (file,) = offline.run_files(tmp_path)
    transaction_log.without_first_rows(file, tmp_path / "same", 0)
    assert (tmp_path / "same").read_bytes() == file.read_bytes()
    assert file.stat().st_size > transaction_log.BLOCK
    rest = tmp_path / "wandb" / "offline-run-rest" / file.name
    rest.parent.mkdir()
    transaction_log.without_first_rows(file, rest, 55)
    assert [row["epoch"] for row in offline.history(rest) if "epoch" in row] == [55, 56, 57, 58, 59, 60]


def test_transaction_log_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"something else")
    with pytest.raises(transaction_log.LogError, match="is not a W&B log"):
        list(transaction_log.read(tmp_path / "log"))
