"""The names of the estimators and sampling schemes that a configuration can choose from; the first is the default.

The order is that of tables and legends. Each name is a module of the folder beside it, which holds one class: to add
an estimator, write its file and its name here.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

KL_ESTIMATOR_NAMES = ("closed_form", "monte_carlo", "monte_carlo_k3", "cross_entropy", "control_variate")
GRADIENT_ESTIMATOR_NAMES = ("pathwise", "stl", "dreg", "score_function")
SCHEME_NAMES = ("iid", "antithetic", "sobol")

if TYPE_CHECKING:  # a type checker wants its literals written out
    KLEstimatorName: TypeAlias = str
    GradientEstimatorName: TypeAlias = str
    Scheme: TypeAlias = str
else:
    KLEstimatorName = Literal[KL_ESTIMATOR_NAMES]
    GradientEstimatorName = Literal[GRADIENT_ESTIMATOR_NAMES]
    Scheme = Literal[SCHEME_NAMES]

Kind = TypeVar("Kind")


def find_kinds(folder: str, names: Sequence[str], base: type[Kind]) -> dict[str, Kind]:
    """An instance of the one class in each module `folder.name`, by its name and in the order of `names`.

    Raises:
        TypeError: a module that holds none or several of them, or one with another name.
    """
    kinds = {}
    for name in names:
        module = import_module(f"{folder}.{name}")
        classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, base)]
        own = [value for value in classes if value.__module__ == module.__name__]
        if len(own) != 1 or getattr(own[0], "name", None) != name:
            listed = ", ".join(value.__name__ for value in own) or "none"
            raise TypeError(f"{module.__name__} must hold one {base.__name__} named {name!r}, got {listed}")
        kinds[name] = own[0]()
    return kinds
