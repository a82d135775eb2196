"""The report, or one page of it, from a sweep's folder: `python -m analysis mc_variance runs/NAME [reports/NAME]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from analysis import report, tables
from analysis.document.blocks import Figure, Note
from analysis.document.render import write_pages

WHOLE = "report"
"""In the place of a page: all of them."""
BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command, instead of repeating how it is used."""

    def error(self, message: str) -> NoReturn:
        """Write the line and leave."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the whole report or one page; print its path, and before it what a single page says.

    Returns:
        The exit code: 0, or 2 where the tables cannot be read or the report cannot be written (the message is one line
        on standard error). A wrong argument raises SystemExit with code 2.
    """
    parser = Parser(prog="python -m analysis", description="Write the report of a sweep, or one page of it.")
    parser.add_argument("page", choices=[WHOLE, *report.PAGES], help="what to write")
    parser.add_argument("run", type=Path, help="folder of a sweep, for example runs/default")
    parser.add_argument("report", type=Path, nargs="?", help="folder to write to (default: reports/NAME)")
    options = parser.parse_args(arguments)
    target = options.report or Path("reports") / options.run.resolve().name
    try:
        path = report.write(options.run, target) if options.page == WHOLE else _page(options.page, options.run, target)
    except tables.TableError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(f"{error.filename or target}: cannot be written: {error.strerror}", file=sys.stderr)
        return BAD_INPUT
    print(path)
    return 0


def _page(name: str, run: Path, target: Path) -> Path:
    """Write one page; print its sentences."""
    sweep = tables.load(run)
    page = report.PAGES[name](sweep)
    path = write_pages(sweep, [page], target, html=name, markdown=name)
    for block in page.blocks:
        if isinstance(block, (Figure, Note)):
            print(block.sentence if isinstance(block, Figure) else block.text)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
