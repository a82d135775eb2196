"""The command line. Imports wait until a command needs them: `--help`, `train` and `doctor` work without Ray."""

from __future__ import annotations

import re
import sys
from typing import Any, NoReturn

from sweeps.cli.app import app
from sweeps.machine.exit_codes import ExitCode

# In the order of --help.
from sweeps.cli import sweeping, trials, plans, results  # isort: skip

__all__ = ["app", "main", "plans", "results", "sweeping", "trials"]


def main() -> NoReturn:
    """Run the command that was typed; every error ends in one line and an `ExitCode`."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except ModuleNotFoundError as error:
        extra = "analysis" if (error.name or "") in ("seaborn", "matplotlib", "jinja2", "markupsafe") else "sweeps"
        if (error.name or "").partition(".")[0] in ("pipeline", "sweeps", "analysis"):
            raise
        print(f"elbosweep: needs {error.name}: pip install 'elbosweep[{extra}]'", file=sys.stderr)
        sys.exit(ExitCode.BAD_INPUT)
    except ValueError as error:
        if type(error).__name__ not in ("ConfigError", "TableError"):
            raise
        print("\n".join(f"elbosweep: {line}" for line in str(error).splitlines()), file=sys.stderr)
        sys.exit(ExitCode.BAD_INPUT)
    except Exception as error:
        if type(error).__name__ == "Abort":  # Ctrl-C where nobody else saw to it: nothing had begun, or only a report
            sys.exit(ExitCode.INTERRUPTED)
        # typer has brought the classes of its errors from one place and another: known by what they can do.
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
        else:
            print(f"elbosweep: {_usage(error)}", file=sys.stderr)
        sys.exit(error.exit_code)


def _usage(error: Any) -> str:
    """What is wrong with the arguments, in one line with the value."""
    said = " ".join(error.format_message().split()).rstrip(".")
    for theirs, ours in (
        (r"^Invalid value for ", ""),
        (r"'(--\S+|\w+)'(?=:| \(env)", r"\1"),
        (r"Input should be (greater than or equal to|a valid)", r"must be \1"),
        ("greater than or equal to", "at least"),
        (r"a valid integer.*", "an integer"),
        (r"a valid number.*", "a number"),
    ):
        said = re.sub(theirs, ours, said)
    if hasattr(error.__cause__, "errors"):  # pydantic's; typer says its rule and leaves out the value
        said += f", got {error.__cause__.errors()[0]['input']!r}"
    command = error.ctx.command_path if getattr(error, "ctx", None) else "elbosweep"
    return f"{said} (see {command} --help)"


if __name__ == "__main__":
    main()
