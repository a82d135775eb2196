"""The command line: exit codes, one clear line for bad input, and commands that read a sweep's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from child_environment import child_environment
from recorded_sweep import Command

# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"name": "a", "factors": {"model.latnt_dim": [2]}}, "factors.model.latnt_dim: unknown key (did you mean"),
        ({"name": "a", "factors": {"model.latent_dim": [0]}}, "factors.model.latent_dim: must be at least 1, got 0"),
        (
            {"name": "a", "factors": {"model.latent_dim": []}},
            "factors.model.latent_dim: needs at least one value, got []",
        ),
        ({"name": "../a", "factors": {"seed": [1]}}, "name: "),
    ],
)
def test_a_bad_specification_is_one_line_and_exit_code_2(
    elbosweep: Command, tmp_path: Path, tree: dict[str, object], message: str
) -> None:
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(tree))
    code, out, err = elbosweep("run", "bad.yaml")
    assert (code, out) == (2, "")
    assert err.startswith(f"elbosweep: bad.yaml: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nonsense"), "nonsense: must be a YAML file or one of course, curve, default"),
        (("run", "missing.yaml"), "missing.yaml: cannot be read: No such file"),
        (("run", "smoke", "--name", "a/b"), "elbosweep: --name: must be letters"),
        (("run", "smoke", "--wandb", "sometimes"), "elbosweep: --wandb"),
        (("run", "course", "--data-dir", "."), "mnist"),
        (("resume", "nothing", "--wandb", "sometimes"), "must be offline, online or disabled, got 'sometimes'"),
        (("resume", "nothing"), "no such sweep, got 'nothing'; there are: none"),
        (("status", "../etc"), "name: must be letters"),
        (("show", "nothing", "3"), "no such sweep"),
        (("report", "nothing"), "no such sweep"),
        (("sync", "nothing"), "no such sweep"),
        (("dashboard", "nothing"), "no such sweep"),
        (("plan", "nothing", "--standard-error", "0"), "--standard-error: must be above 0, got 0.0"),
        (("train", "missing.yaml"), "missing.yaml: cannot be read"),
        (("evaluate", "nothing/0"), "no such sweep"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_exit_code_2_without_a_traceback(
    elbosweep: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    from urllib.error import URLError

    def no_network(*arguments: object, **options: object) -> None:
        raise URLError("no network in this test")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    code, _, err = elbosweep(*arguments)
    assert code == 2
    assert message in err
    assert err.startswith("elbosweep: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "Missing argument"),
        (("run", "smoke", "--workers", "0"), "--workers"),
        (("run", "smoke", "--workers", "x"), "'x'"),
        (("run", "smoke", "--wrkers", "1"), "--workers"),
        (("show", "done", "first"), "'first'"),
        (("stats",), "'status'"),
    ],
    ids=" ".join,
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    elbosweep: Command, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = elbosweep(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("elbosweep: ")
    assert err.endswith("--help)\n")
    assert err.count("\n") == 1
    assert message in err


def test_an_empty_file_is_called_empty(elbosweep: Command, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    code, _, err = elbosweep("run", "empty.yaml")
    assert (code, err) == (2, "elbosweep: empty.yaml: is empty: must have a name, and factors or a space\n")


def test_an_existing_name_is_refused_and_nothing_is_touched(elbosweep: Command, runs: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    code, _, err = elbosweep("run", "smoke", "--name", "done")
    assert code == 2
    assert "exists: say `elbosweep resume done`, or --force to replace it" in err
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


def test_force_does_not_destroy_for_a_bad_specification(elbosweep: Command, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump({"name": "done", "factors": {"model.latent_dim": [0]}}))
    assert elbosweep("run", "bad.yaml", "--force")[0] == 2
    assert (runs / "done" / "trials.parquet").exists()


def test_a_missing_package_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['optuna'] = None; from sweeps.cli.main import main; main()"
    command = [sys.executable, "-c", program, "resume", "x", "--runs-dir", str(tmp_path)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs optuna: pip install 'elbosweep[sweeps]'" in done.stderr


# --- reading a sweep ------------------------------------------------------------------------------------------------


def test_a_runs_folder_that_was_named_must_exist(
    elbosweep: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert elbosweep("list")[:2] == (0, "no sweeps in runs\n")
    message = "elbosweep: --runs-dir (or ELBOSWEEP_RUNS): must be a folder that exists, got 'elsewhere'\n"
    assert elbosweep("list", "--runs-dir", "elsewhere") == (2, "", message)
    monkeypatch.setenv("ELBOSWEEP_RUNS", "elsewhere")
    assert elbosweep("list") == (2, "", message)
    (tmp_path / "elsewhere").mkdir()
    assert elbosweep("list")[:2] == (0, "no sweeps in elsewhere\n")


@pytest.mark.parametrize("damage", ["", "name: [", "name: done\nnonsense: 1\n"], ids=["empty", "broken", "edited"])
def test_a_damaged_specification_does_not_hide_the_tables(
    elbosweep: Command, runs: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    path, record = runs / "done" / "spec.yaml", runs / "done" / "sweep.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"spec": yaml.safe_load(path.read_text())}))
    monkeypatch.setattr("analysis.report.write", lambda folder, target, progress: target / "index.html")
    commands = (("status", "done"), ("report", "done"), ("list",), ("show", "done", "0"))
    whole = [elbosweep(*command) for command in commands]
    path.write_text(damage)
    for command, (code, out, _) in zip(commands, whole):
        again, shown, err = elbosweep(*command)
        assert (again, shown) == (code, out)
        assert err.startswith("elbosweep: warning: ")
        assert err.endswith("; read from sweep.json instead\n")
        assert err.count("\n") == 1
    assert elbosweep("resume", "done")[0] == 2, "to go on takes the specification itself"


def test_show_a_trial(elbosweep: Command, runs: Path) -> None:
    code, out, _ = elbosweep("show", "done", "0")
    assert code == 0
    assert "* model.latent_dim: 2" in out
    assert "test.elbo = " in out


def test_show_why_a_trial_failed(elbosweep: Command, runs: Path) -> None:
    out = elbosweep("show", "done", "2")[1]
    assert "reason: RuntimeError: no luck" in out
    assert "Traceback" in out
    code, _, err = elbosweep("show", "done", "9")
    assert code == 2
    assert "has trials 0 to 3, got 9" in err


def test_report_brings_the_tables_up_to_date_first(
    elbosweep: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runs / "done" / "trials.parquet").unlink()
    seen: list[int] = []

    def write(folder: Path, target: Path, progress: object) -> Path:
        seen.append(len(pd.read_parquet(folder / "trials.parquet")))
        return target / "index.html"

    monkeypatch.setattr("analysis.report.write", write)
    code, out, _ = elbosweep("report", "done")
    assert (code, seen) == (0, [4])
    assert out.strip().endswith("reports/done/index.html")


def test_calibration_table_goes_into_the_sweep(elbosweep: Command, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"value": 1.0, "exact": 1.1, "standard_error": 0.1, "z_score": -1.0, "num_draws": 10}
    row = {"estimator": "k1", "quantity": "KL", "compared": "standard error", "ulps": None, **numbers}
    monkeypatch.setattr("pipeline.calibration.table.calibrate", lambda seed, progress: [row])
    code, out, _ = elbosweep("calibrate", "done")
    assert code == 0
    assert "1 checks, largest |z| 1.00" in out
    assert pd.read_parquet(runs / "done" / "calibration.parquet")["z_score"].tolist() == [-1.0]
    assert pd.read_parquet(runs / "done" / "calibration_seeds.parquet")["seed"].nunique() == 20
    monkeypatch.setattr("pipeline.calibration.table.calibrate", lambda seed, progress: [row | {"z_score": 9.0}])
    assert elbosweep("calibrate")[0] == 1
