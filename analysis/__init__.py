"""Tables of a sweep -> statistics, figures, pages, a report. It reads files only.

Modules that were here before the wing had rooms say where they went.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "analysis.comparisons": "from analysis.statistics.comparisons import paired_differences",
    "analysis.curves": "from analysis.statistics.curves import knee, fit_slope",
    "analysis.elbo_vs_dimension": "python -m analysis elbo_vs_dimension RUN [REPORT]",
    "analysis.headline": "from analysis.statistics.headline import headline",
    "analysis.intervals": "from analysis.statistics.intervals import summarise",
    "analysis.mc_variance": "python -m analysis mc_variance RUN [REPORT]",
    "analysis.planning": "from analysis.statistics.planning import plan",
    "analysis.selection": "from analysis.statistics.selection import best_configurations",
    "analysis.theme": "from analysis.figures import theme",
    "analysis.variance_components": "from analysis.statistics.variance_components import variance_components",
}
"""Old public module -> what to write today."""


class MovedModules:
    """Asked for a module that nobody else can find: for one that has moved, the error names its new place."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find nothing.

        Raises:
            ModuleNotFoundError: the module has moved.
        """
        if name in MOVED:
            # Without `name=`: `from analysis import headline` would otherwise swallow the message.
            raise ModuleNotFoundError(f"{name} has moved: {MOVED[name]}")
        return None


sys.meta_path.append(MovedModules)
