"""The examples in the docstrings of `analysis` are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
import synthetic

import analysis

MODULES = [info.name for info in pkgutil.walk_packages(analysis.__path__, "analysis.") if "__main__" not in info.name]
EXAMPLES = {
    "analysis.tables.reading": ["load"],
    "analysis.statistics.intervals": ["summarise", "share_interval"],
    "analysis.statistics.curves": ["knee", "fit_slope"],
    "analysis.statistics.comparisons": ["paired_differences", "holm"],
    "analysis.statistics.selection": ["outcomes", "pareto_front", "best_configurations"],
    "analysis.statistics.variance_components": ["metric_of"],
    "analysis.wording": ["label"],
}
"""Functions that must have one."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "analysis.tables.reading":
        synthetic.write(tmp_path / "runs" / "default", name="default", epochs=1, pictures=False)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    tests = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module, name) if test.examples]
    runner = doctest.DocTestRunner()
    for test in tests:
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
    assert {f"{name}.{function}" for function in EXAMPLES.get(name, ())} <= {test.name for test in tests}
