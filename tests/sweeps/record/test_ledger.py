"""The record on disk: written atomically, read back, collected into tables that analysis accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from fake_trial import FakeTrial, bound, run_trial

from analysis import tables
from pipeline.config import ConfigError, config_hash
from pipeline.files import read_rows, write_json
from sweeps.record.ledger import Ledger, read_result
from sweeps.record.tables import collect, write_table
from sweeps.running.progress import Periodic
from sweeps.search.plan import Plan
from sweeps.specification.reading import parse
from sweeps.specification.spec import SweepSpec

METRIC = "validation.elbo"


@pytest.fixture
def spec() -> SweepSpec:
    return parse({"name": "t", "base": {"training": {"epochs": 2}}, "factors": {"model.latent_dim": [2, 4, 8]}})


def plan(spec: SweepSpec, number: int, **overrides: Any) -> Plan:
    config = spec.trial(overrides)
    return Plan(number, "factorial", overrides, config_hash(config), config.replicates)


def run(ledger: Ledger, spec: SweepSpec, number: int, trial: FakeTrial = run_trial, **overrides: Any) -> Plan:
    planned = plan(spec, number, **overrides)
    ledger.start(planned)
    trial(spec.trial(overrides), ledger.trial_folder(number), report=lambda epoch, metrics: None)
    return planned


def test_a_finished_trial_has_its_value_and_is_read_back(tmp_path: Path, spec: SweepSpec) -> None:
    ledger = Ledger(tmp_path, METRIC)
    run(ledger, spec, 3, **{"model.latent_dim": 4})
    assert ledger.outcome(3) is None
    record = ledger.conclude(3, tracking=0.5)
    assert (record.status, record.value) == ("finished", bound(spec.trial({"model.latent_dim": 4})))
    assert record.seconds["tracking"] == 0.5
    assert Ledger(tmp_path, METRIC).records == ledger.records


def test_a_trial_without_a_result_failed_with_the_reason_that_the_worker_left(tmp_path: Path, spec: SweepSpec) -> None:
    ledger = Ledger(tmp_path, METRIC)
    ledger.start(plan(spec, 0))
    assert "died" in (ledger.conclude(0).reason or "")
    ledger.start(plan(spec, 1))
    (ledger.trial_folder(1) / "error.txt").write_text("Traceback\n  ...\nRuntimeError: no luck\n")
    record = ledger.conclude(1)
    assert (record.status, record.reason, record.value) == ("failed", "RuntimeError: no luck", None)


def test_a_bound_that_is_not_finite_is_a_failure(tmp_path: Path, spec: SweepSpec) -> None:
    ledger = Ledger(tmp_path, METRIC)
    run(ledger, spec, 0, FakeTrial({"not_finite": {}}))
    record = ledger.conclude(0)
    assert (record.status, record.value) == ("failed", None)
    assert record.reason == "validation.elbo is not a finite number"


def test_a_result_of_another_configuration_does_not_count(tmp_path: Path, spec: SweepSpec) -> None:
    ledger = Ledger(tmp_path, METRIC)
    ledger.start(plan(spec, 0, **{"model.latent_dim": 8}))
    run_trial(spec.trial({"model.latent_dim": 2}), ledger.trial_folder(0), report=lambda epoch, metrics: None)
    assert ledger.conclude(0).status == "failed"


def test_a_damaged_result_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"status": "fini')
    assert read_result(tmp_path) is None
    assert (tmp_path / "result.json.damaged").exists()


def test_trials_to_run_again_are_those_that_had_not_finished_unnoticed(tmp_path: Path, spec: SweepSpec) -> None:
    ledger = Ledger(tmp_path, METRIC)
    plans = [run(ledger, spec, 0), plan(spec, 1, **{"model.latent_dim": 4}), plan(spec, 2, **{"model.latent_dim": 8})]
    ledger.start(plans[1])
    assert ledger.to_run_again(plans) == plans[1:]
    assert [ledger.records[number].status for number in range(3)] == ["finished", "running", "running"]


def test_rows_of_a_torn_file_end_before_the_tear_and_damage_elsewhere_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert [row["epoch"] for row in read_rows(path)] == [1, 2]
    path.write_text('{"epoch": 1}\n{"epo\n{"epoch": 3}\n')
    with pytest.raises(ConfigError, match=r"history.jsonl: line 2 is damaged"):
        list(read_rows(path))


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "trials" / "0000"
    write_json(folder / "trial.json", {"schema": 1, "plan": {}})
    with pytest.raises(ConfigError, match=r"trial.json: is not a trial's record"):
        Ledger(tmp_path, METRIC)


def test_collected_tables_load_in_analysis(tmp_path: Path, spec: SweepSpec) -> None:
    ledger = Ledger(tmp_path, METRIC)
    for number, latent_dim in enumerate((2, 4, 8)):
        run(ledger, spec, number, **{"model.latent_dim": latent_dim})
        ledger.conclude(number)
    ledger.start(plan(spec, 3))
    write_json(tmp_path / "sweep.json", {"schema": 1, "name": "t", "state": "interrupted"})
    rows = collect(ledger, spec)
    assert rows["trials"] == 4
    assert rows["history"] == 3 * 3 * 2
    sweep = tables.load(tmp_path)
    assert list(sweep.trials["model.latent_dim"]) == [2, 4, 8, 8]
    assert list(sweep.trials["status"]) == ["finished"] * 3 + ["running"]
    assert json.loads(sweep.trials["model.network.hidden"][0]) == [256, 256]
    assert sweep.trials["test.elbo"][:3].tolist() == [record.value - 1 for record in list(ledger.records.values())[:3]]
    assert set(sweep.history["trial"]) == {0, 1, 2}


def test_tables_carry_their_schema_version_and_vanish_with_their_rows(tmp_path: Path) -> None:
    write_table(tmp_path, "variance", [{"trial": 0, "variance": 1.5}])
    path = tmp_path / "variance.parquet"
    assert pq.read_schema(path).metadata[b"elbosweep.schema"] == b"1"
    assert pd.read_parquet(path)["variance"].tolist() == [1.5]
    write_table(tmp_path, "variance", [])
    assert not path.exists()


def test_periodic_waits() -> None:
    calls: list[int] = []
    periodic = Periodic(lambda: calls.append(1), at_least=1000.0)
    periodic()
    assert calls == []
    always = Periodic(lambda: calls.append(1), at_least=0.0)
    always()
    assert calls == [1]
