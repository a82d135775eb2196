"""A name finds the one class of its module."""

from __future__ import annotations

import sys
import types

import pytest

from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
from pipeline.probability.kl.estimator import KLEstimator
from pipeline.probability.kl.monte_carlo import MonteCarlo
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.probability.names import GRADIENT_ESTIMATOR_NAMES, KL_ESTIMATOR_NAMES, SCHEME_NAMES, find_kinds
from pipeline.probability.schemes.registry import SCHEMES


@pytest.mark.parametrize(
    ("names", "kinds"),
    [(KL_ESTIMATOR_NAMES, KL_ESTIMATORS), (GRADIENT_ESTIMATOR_NAMES, GRADIENT_ESTIMATORS), (SCHEME_NAMES, SCHEMES)],
)
def test_every_name_has_a_class_that_says_it(names: tuple[str, ...], kinds: dict[str, KLEstimator]) -> None:
    assert tuple(kinds) == names == tuple(kind.name for kind in kinds.values())


def module(monkeypatch: pytest.MonkeyPatch, name: str, *kinds: type) -> None:
    made = types.ModuleType(f"pipeline.probability.kl.{name}")
    for kind in (*kinds, MonteCarlo):  # what a module only imports is not its own
        if kind is not MonteCarlo:
            kind.__module__ = made.__name__
        setattr(made, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, made.__name__, made)


def test_a_module_with_two_classes_or_another_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (type(kind, (MonteCarlo,), {"name": "invented"}) for kind in ("One", "Other"))
    module(monkeypatch, "invented", one)
    assert type(find_kinds("pipeline.probability.kl", ("invented",), KLEstimator)["invented"]) is one
    module(monkeypatch, "invented", one, other)
    with pytest.raises(TypeError, match="invented must hold one KLEstimator named 'invented', got One, Other"):
        find_kinds("pipeline.probability.kl", ("invented",), KLEstimator)
    module(monkeypatch, "misnamed", one)
    with pytest.raises(TypeError, match="misnamed must hold one KLEstimator named 'misnamed', got One"):
        find_kinds("pipeline.probability.kl", ("misnamed",), KLEstimator)
