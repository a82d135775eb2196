from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trial_folders import CONFIG, history_rows, log_epochs, rows_of, write_trial

from pipeline.means import report_metrics
from sweeps.tracking.epochs import metrics_by_epoch, metrics_of
from sweeps.tracking.trial_runs import TrialRuns


def test_epochs_from_the_record_are_what_the_trial_reported() -> None:
    rows = history_rows(3, replicates=3)
    reports = {epoch: report_metrics([row for row in rows if row["epoch"] == epoch]) for epoch in range(4)}
    assert metrics_by_epoch(rows) == {epoch: metrics_of(report) for epoch, report in reports.items()}
    assert "step" in reports[1]
    assert "step" not in metrics_by_epoch(rows)[1]


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
