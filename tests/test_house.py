"""The house stays one to live in: arrows point down, rooms and files stay small, tests mirror the rooms and assert.

That no files import one another in a circle stands in tests/documents/test_architecture.py, beside the picture.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.documents import imports, shape
from tests.documents.architecture import ROOT, imports_of_wings, layers

FILES, LINES = 12, 320
"""What a folder and a file may hold at most; `__init__.py` and `conftest.py` do not count."""
FACES = {
    *("pipeline", "pipeline/config", "pipeline/trial", "sweeps", "analysis"),
    *("analysis/tables", "analysis/statistics", "analysis/figures"),
}
"""Folders whose `__init__` is not empty: rooms with a short public path, and what a wing needs before its imports."""
CROWDED = {"tests/support": "imported by bare names from one folder of pytest's path"}
LONG = {
    "pipeline/config/options.py": "every option of a trial, one class after another",
    "tests/support/wandb_server.py": "one server: its routes share its state",
    "tests/pipeline/evaluation/test_evidence.py": "to be split",
}
"""Files that are longer, with the reason."""
THEMES = {
    "test_conformance": "runs over every registered class of its room",
    "test_moved": "old import paths of the wing",
    "test_examples": "the examples in the docstrings",
    "test_main": "`__main__`, the command of the wing",
    "test_imports": "what importing the room loads",
    "test_notebook": "the notebook",
    "test_unknown_kinds": "every page, with kinds that it does not know",
    "test_what_is_missing": "every page, with tables that are not there",
    "test_every_figure": "every figure of every page",
    "test_every_kind_of_sweep": "every statistic, on sweeps of every kind",
    "test_sentences": "the numbers in sentences, against the tables",
    "test_traps": "every page, on sweeps that once made it say something false",
}
"""Test files that are about no single module."""
PUBLIC = {"_replace": "a method of every NamedTuple", "_repr_html_": "IPython's protocol"}
"""Names with an underscore that are not private."""
PRIVATE = {
    ("tests/benchmarks/bench_gpu.py", "_train"): "an epoch without its validation is what is timed",
    ("tests/benchmarks/bench_samples.py", "_train"): "likewise",
    ("tests/benchmarks/bench_step.py", "_train"): "likewise",
    ("tests/sweeps/storage/test_storage.py", "_write"): "a write that fails between two that do not",
    ("tests/sweeps/storage/test_sweep_copy.py", "_write"): "likewise",
    ("tests/sweeps/search/test_planner.py", "_plan"): "a crash between Optuna's suggestion and the plan",
}
"""Private names of the wings that tests reach for, with the reason."""
SILENT = {"test_a_base_that_only_fits_with_the_factors_is_accepted": "its name says that nothing is raised"}


def room(file: str) -> str:
    """The room of a file, or the file beside the rooms, as the layers name it."""
    return file.split("/")[1].removesuffix(".py")


def upward(arrows: imports.Arrows) -> list[str]:
    """Arrows to a wing that may not be imported, or to a room that is not below."""
    rows = {wing: {name: row for row, names in enumerate(drawn) for name in names} for wing, drawn in layers().items()}
    wrong = []
    for file, targets in arrows.items():
        wing = file.split("/")[0]
        for target in targets:
            other = target.split("/")[0]
            if other != wing:
                allowed = other in imports_of_wings()[wing]
            elif "__init__" in (room(file), room(target)) or room(file) == room(target):
                allowed = True
            else:
                allowed = rows[wing][room(target)] > rows[wing][room(file)]
            if not allowed:
                wrong.append(f"{file} -> {target}")
    return sorted(wrong)


def folders() -> Iterator[Path]:
    for top in (*layers(), "tests"):
        yield from (path for path in (ROOT / top, *sorted((ROOT / top).rglob("*"))) if any(path.glob("*.py")))


def in_tests(check: Callable[[ast.Module], Iterator[object]]) -> dict[str, list[object]]:
    """What a check finds, by test file."""
    seen = {shape.name_of(path): list(check(shape.tree_of(path))) for path in shape.python_files("tests")}
    return {name: all_of_it for name, all_of_it in seen.items() if all_of_it}


# --- arrows and sizes -----------------------------------------------------------------------------------------------


def test_every_arrow_points_down() -> None:
    arrows = imports.arrows()
    assert sum(map(len, arrows.values())) > 300
    assert upward(arrows) == []


@pytest.mark.parametrize(
    ("file", "target"),
    [
        ("pipeline/model/vae.py", "sweeps/record/ledger.py"),
        ("analysis/report.py", "pipeline/files.py"),
        ("pipeline/config/options.py", "pipeline/model/vae.py"),
        ("sweeps/record/ledger.py", "sweeps/storage/storage.py"),
    ],
)
def test_an_arrow_upward_or_sideways_is_found(file: str, target: str) -> None:
    assert upward({file: frozenset({target})}) == [f"{file} -> {target}"]
    assert upward({"sweeps/record/ledger.py": frozenset({"pipeline/files.py", "sweeps/search/plan.py"})}) == []


def test_no_folder_is_crowded() -> None:
    counts = {
        shape.name_of(folder): sum(path.name not in ("__init__.py", "conftest.py") for path in folder.glob("*.py"))
        for folder in folders()
    }
    assert {name: count for name, count in counts.items() if count > FILES and name not in CROWDED} == {}


def test_no_file_is_long() -> None:
    lengths = {
        shape.name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in shape.python_files(*layers(), "tests")
    }
    assert {name: length for name, length in lengths.items() if length > LINES and name not in LONG} == {}


def test_only_faces_have_something_in_their_init() -> None:
    filled = {shape.name_of(path.parent) for path in shape.python_files(*layers()) if path.name == "__init__.py"
              and path.read_text(encoding="utf-8").strip()}  # fmt: skip
    assert filled == FACES


# --- tests ----------------------------------------------------------------------------------------------------------


def test_tests_mirror_the_rooms() -> None:
    astray = []
    for path in shape.python_files(*(f"tests/{wing}" for wing in layers())):
        folder, subject = ROOT / path.parent.relative_to(ROOT / "tests"), path.stem.removeprefix("test_")
        is_test = path.name.startswith("test_") and path.stem not in THEMES
        if not folder.is_dir() or (
            is_test and not ((folder / f"{subject}.py").exists() or (folder / subject).is_dir())
        ):
            astray.append(shape.name_of(path))
    assert astray == []


def test_no_test_touches_a_private_name() -> None:
    assert {"_write", "_train"} <= shape.private_names()
    uses = {(name, used) for name, lines in in_tests(shape.private_uses).items() for _, used in lines}  # type: ignore[misc]
    assert {use for use in uses if use[1] not in PUBLIC} - PRIVATE.keys() == set()


def test_no_assertion_is_about_seconds() -> None:
    assert in_tests(shape.timed_assertions) == {}


def test_a_test_without_an_assertion_says_what_it_asserts() -> None:
    silent = [
        test.name
        for path in shape.python_files("tests")
        for test in shape.tests_of(shape.tree_of(path))
        if not shape.asserts_something(test, shape.asserting_helpers(shape.tree_of(path)))
        and not ast.get_docstring(test)
        and test.name not in SILENT
    ]
    assert silent == []


def test_no_test_hides_another_of_its_name() -> None:
    twice = []
    for path in shape.python_files("tests"):
        names = sorted(node.name for node in shape.tree_of(path).body if isinstance(node, ast.FunctionDef))
        twice += [f"{shape.name_of(path)}: {name}" for name, following in pairwise(names) if name == following]
    assert twice == []


# --- the checks find what they are for ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "began = time.monotonic()\nassert time.monotonic() - began < 10",
        "began = perf_counter()\ntook = perf_counter() - began\nassert 1.0 - took > 0",
        "assert max(time.time() - start for start in starts) < 2",
        "assert path.stat().st_mtime - lost_at < 60",
    ],
)
def test_an_assertion_about_seconds_is_found(text: str) -> None:
    assert list(shape.timed_assertions(ast.parse(text)))


def test_a_limit_on_waiting_is_no_assertion_about_seconds() -> None:
    text = "until = time.monotonic() + 60\nassert time.monotonic() < until, 'the server does not answer'"
    assert list(shape.timed_assertions(ast.parse(text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "from pipeline.training.replicate import _hidden",
        "replicate._train(1)",
        "monkeypatch.setattr('pipeline.training.replicate.Replicate._train', None)",
        "monkeypatch.setattr(Replicate, '_train', None)",
    ],
)
def test_a_private_name_is_found(text: str) -> None:
    assert list(shape.private_uses(ast.parse(text)))


@pytest.mark.parametrize(("body", "asserts"), [("parse(tree)", False), ("assert x", True), ("helper()", True)])
def test_an_assertion_is_found(body: str, asserts: bool) -> None:
    tree = ast.parse(f"def helper():\n    with pytest.raises(E): f()\ndef test_x():\n    {body}")
    assert shape.asserts_something(next(shape.tests_of(tree)), shape.asserting_helpers(tree)) is asserts
