"""docs/extending.md is followed, section by section, in a copy of the project: what it says is enough, and works."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import tables
from tests.documents import runnable
from tests.documents.architecture import ROOT
from tests.documents.runnable import Block

SECTIONS = runnable.sections(ROOT / "docs/extending.md")
SWEEP = "A sweep from Python"

# All examples share one copy, and the one sweep in it uses them all: minutes on a busy machine.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which every section was followed."""
    folder = runnable.copy_project(tmp_path_factory.mktemp("copy"))
    for blocks in SECTIONS.values():
        runnable.follow(blocks, folder)
    runnable.run([Block("bash", "make schema")], folder)
    return folder


@pytest.fixture(scope="module")
def swept(project: Path) -> str:
    """What the programs of the section on sweeps print; afterwards the copy holds a sweep that uses every addition."""
    return runnable.run(SECTIONS[SWEEP], project)


@pytest.mark.parametrize("section", ["A KL estimator", "A posterior", "A data source", "A sampler"])
def test_an_addition_passes_its_conformance_suite(section: str, project: Path) -> None:
    """The command of the section selects tests by the new name: it fails where none is selected."""
    assert " passed" in runnable.run(SECTIONS[section], project)


def test_an_estimator_is_one_file_and_one_line() -> None:
    new_file, line = (block for block in SECTIONS["A KL estimator"] if block.added_lines)
    assert new_file.new_file
    assert new_file.added_lines <= 30
    assert line.added_lines == 1


def test_a_sweep_from_python_does_all_that_the_command_does(swept: str, project: Path) -> None:
    assert "mc_entropy" in swept
    written = {path.name for path in (project / "runs/extended").iterdir()}
    assert written >= {"spec.yaml", "sweep.json", "trials.parquet", "variance.parquet", "calibration.parquet", "wandb"}
    program = next(block.text for block in SECTIONS[SWEEP] if "Sweep(" in block.text)
    assert len([line for line in program.splitlines() if line]) <= 6


def test_tables_of_the_sweep_hold_every_addition(swept: str, project: Path) -> None:
    sweep = tables.load(project / "runs/extended")
    assert set(sweep.trials["status"]) == {"finished"}
    assert set(sweep.trials["kl.estimator"]) == {"closed_form", "mc_entropy"}
    assert set(sweep.trials["model.posterior.name"]) == {"isotropic_gaussian"}
    assert set(sweep.trials["data.name"]) == {"bars"}
    assert (sweep.trials["phase"] == "search").sum() == 2
    measured = sweep.variance[(sweep.variance["quantity"] == "mc_entropy") & sweep.variance["predicted"].notna()]
    assert len(measured) > 0
    calibrated = sweep.calibration[sweep.calibration["estimator"].str.contains("mc_entropy")]
    assert len(calibrated) > 1
    assert calibrated["z_score"].abs().max() < 5


def test_a_page_is_written_alone_and_in_the_report(swept: str, project: Path) -> None:
    assert "A replicate trains longest" in runnable.run(SECTIONS["A page of the report"], project)
    report = (project / "reports/extended/index.html").read_text(encoding="utf-8")
    assert "What does a larger latent space cost in time?" in report
    assert "Monte Carlo entropy" in report


# --- how documents are followed ---------------------------------------------------------------------------------------


def test_a_change_must_fit_its_file(tmp_path: Path) -> None:
    (tmp_path / "names.py").write_text("ONE = 1\nTWO = 2\nTWO = 2\n")
    runnable.follow([Block("diff", "--- names.py\n+++ names.py\n ONE = 1\n+HALF = 0.5\n")], tmp_path)
    assert (tmp_path / "names.py").read_text() == "ONE = 1\nHALF = 0.5\nTWO = 2\nTWO = 2\n"
    with pytest.raises(ValueError, match="must hold these lines once, got 2"):
        runnable.follow([Block("diff", "--- names.py\n+++ names.py\n TWO = 2\n+THREE = 3\n")], tmp_path)
    with pytest.raises(ValueError, match="must hold these lines once, got 0"):
        runnable.follow([Block("diff", "--- names.py\n+++ names.py\n-FOUR = 4\n")], tmp_path)


def test_a_new_file_must_be_new(tmp_path: Path) -> None:
    block = Block("python", "# folder/one.py\nONE = 1\n")
    runnable.follow([block], tmp_path)
    assert (tmp_path / "folder/one.py").read_text() == "ONE = 1\n"
    with pytest.raises(ValueError, match="is called new, and exists"):
        runnable.follow([block], tmp_path)


def test_a_command_that_fails_is_shown_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit code 3:\nsaid before"):
        runnable.run([Block("python", "print('said before', flush=True)\nraise SystemExit(3)\n")], tmp_path)
    with pytest.raises(ValueError, match="is not a command that examples may use"):
        runnable.run([Block("bash", "rm -r runs\n")], tmp_path)
