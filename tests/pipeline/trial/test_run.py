"""Running a trial: a finished one is returned, an interrupted one goes on to the same numbers."""

from __future__ import annotations

import pytest
from small_trial import Interrupted, rows_of, small_config, without_seconds

from pipeline.layout import LONG_TABLES
from pipeline.trial import run, run_trial


def test_a_finished_trial_is_returned_and_not_trained_again(finished, monkeypatch):
    result, folder, _ = finished
    monkeypatch.setattr(run, "train", lambda *_: pytest.fail("trained again"))
    again = run_trial(small_config(), folder, report=lambda *_: pytest.fail("reported again"))
    assert again == result


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_trial_that_a_report_ended_goes_on_to_the_same_numbers(tmp_path, finished, digits, epoch):
    result, reference, _ = finished

    def stop(now, metrics):
        if now == epoch:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_trial(small_config(), tmp_path, data=digits, report=stop)
    assert len(rows_of(tmp_path, "history")) == 2 * (epoch + 1)
    assert {row["status"] for row in rows_of(tmp_path, "replicates")} == {"stopped"}
    assert not (tmp_path / "result.json").exists()
    later = []
    resumed = run_trial(small_config(), tmp_path, data=digits, report=lambda now, metrics: later.append(now))
    assert later == list(range(epoch + 1, 4))
    assert resumed.metrics == result.metrics
    for table in LONG_TABLES:
        assert without_seconds(rows_of(tmp_path, table)) == without_seconds(rows_of(reference, table))


def test_a_trial_interrupted_while_measuring_keeps_what_it_has(tmp_path, finished, digits, monkeypatch):
    result, _, _ = finished
    measured, original = [], run.measure

    def interrupted(config, data, vae, number, trial):
        measured.append(number)
        if len(measured) == 2:
            raise Interrupted
        return original(config, data, vae, number, trial)

    monkeypatch.setattr(run, "measure", interrupted)
    with pytest.raises(Interrupted):
        run_trial(small_config(), tmp_path, data=digits)
    assert run_trial(small_config(), tmp_path, data=digits).metrics == result.metrics
    assert measured == [0, 1, 1]


def test_a_damaged_checkpoint_starts_again_to_the_same_numbers(tmp_path, finished, digits):
    result, _, _ = finished

    def stop(epoch, metrics):
        if epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_trial(small_config(), tmp_path, data=digits, report=stop)
    path = tmp_path / "checkpoints" / "training.pt"
    path.write_bytes(path.read_bytes()[:1000])
    assert run_trial(small_config(), tmp_path, data=digits).metrics == result.metrics
    assert path.with_name("training.pt.damaged").exists()


def test_a_damaged_measurement_is_made_again(tmp_path, finished, digits, monkeypatch, caplog):
    with monkeypatch.context() as context:
        context.setattr(run, "write_result", lambda *_, **__: (_ for _ in ()).throw(Interrupted))
        with pytest.raises(Interrupted):
            run_trial(small_config(), tmp_path, data=digits)
    path = tmp_path / "checkpoints" / "measured_1.json"
    path.write_text(path.read_text()[:100])
    assert run_trial(small_config(), tmp_path, data=digits).metrics == finished.result.metrics
    assert "measured_1.json is damaged" in caplog.text
