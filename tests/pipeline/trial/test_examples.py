"""The examples in the docstrings do what they say."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import torch

from pipeline.config import parse
from pipeline.trial import load_vae, run_trial


def test_the_examples_of_run_trial_and_load_vae(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order: the second loads what the first has trained."""
    monkeypatch.chdir(tmp_path)
    names = {"parse": parse, "run_trial": run_trial, "load_vae": load_vae, "torch": torch}
    for function in (run_trial, load_vae):
        (example,) = doctest.DocTestFinder(recurse=False).find(function, function.__name__, globs=names)
        assert len(example.examples) >= 2
        assert doctest.DocTestRunner().run(example).failed == 0
