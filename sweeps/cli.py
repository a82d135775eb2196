"""The command line. Imports wait until a command needs them: `--help`, `train` and `doctor` work without Ray."""

from __future__ import annotations

import sys
from typing import NoReturn

from sweeps.commands.common import app

# In the order of --help.
from sweeps.commands import sweeping, trials, results  # isort: skip

__all__ = ["app", "main", "results", "sweeping", "trials"]


def main() -> NoReturn:
    """Exit codes: 0 all done, 1 some trials failed or something does not add up, 2 bad input, 130 interrupted."""
    try:
        app()
    except ModuleNotFoundError as error:
        extra = "analysis" if (error.name or "") in ("seaborn", "matplotlib", "jinja2", "markupsafe") else "sweeps"
        if (error.name or "").partition(".")[0] in ("pipeline", "sweeps", "analysis"):
            raise
        print(f"elbosweep: needs {error.name}: pip install 'elbosweep[{extra}]'", file=sys.stderr)
        sys.exit(2)
    except ValueError as error:
        if type(error).__name__ not in ("ConfigError", "TableError"):
            raise
        print("\n".join(f"elbosweep: {line}" for line in str(error).splitlines()), file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


if __name__ == "__main__":
    main()
