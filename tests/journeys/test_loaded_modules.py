"""Which libraries each command loads: those that only read a sweep answer without the ones that take seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from child_environment import child_environment
from recorded_sweep import record_sweep

HEAVY = {"torch", "ray", "optuna", "wandb", "pandas", "sqlalchemy", "scipy", "sklearn", "rich"}
"""Libraries that take from a tenth of a second to several seconds to import."""
TABLES = {"pyarrow", "numpy"}
LOADED = """
import json, sys
from sweeps.cli.main import main
sys.argv = ["elbosweep", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a finished sweep that was logged to W&B, offline."""
    folder = tmp_path_factory.mktemp("runs")
    record_sweep(folder, wandb="offline", failing=None)
    return folder


def loaded(*arguments: str, runs_dir: Path | None = None) -> set[str]:
    """Top-level modules that a command has loaded by its end."""
    environment = child_environment(**({} if runs_dir is None else {"ELBOSWEEP_RUNS": str(runs_dir)}))
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["run", "--help"]], ids=" ".join)
def test_help_loads_no_library_but_typer(arguments: list[str]) -> None:
    """Beside a command's name typer itself may load pydantic, for the types of its options."""
    modules = loaded(*arguments)
    assert not modules & (HEAVY | TABLES | {"yaml", "pipeline"})
    assert "pydantic" not in modules or arguments[0] != "--help"


@pytest.mark.parametrize("arguments", [["list"], ["show", "done", "0"]], ids=" ".join)
def test_a_command_that_reads_no_table_loads_no_table_library(arguments: list[str], runs: Path) -> None:
    assert not loaded(*arguments, runs_dir=runs) & (HEAVY | TABLES)


def test_status_compares_all_records_with_pyarrow_alone(runs: Path) -> None:
    modules = loaded("status", "done", runs_dir=runs)
    assert not modules & HEAVY
    assert "pyarrow" in modules, "the comparison has read no table"


def test_plan_loads_what_tables_need_and_nothing_that_runs_trials(runs: Path) -> None:
    modules = loaded("plan", "done", "--standard-error", "0.5", runs_dir=runs)
    assert not modules & {"torch", "ray", "optuna", "wandb", "sqlalchemy"}
