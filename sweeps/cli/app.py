"""The application that commands register with, and the options and tables that they share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Trustworthy sweeps over variational autoencoders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RunsDir = Annotated[Path, typer.Option("--runs-dir", envvar="ELBOSWEEP_RUNS", help="Folder of all sweeps.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", envvar="ELBOSWEEP_DATA", help="Data sets, in torchvision's layout.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Trials at the same time (default: the specification's).")]
Address = Annotated[
    str | None,
    typer.Option(metavar="auto|HOST:PORT", help="An existing Ray cluster to run on (default: a Ray on this machine)."),
]
Storage = Annotated[
    str | None,
    typer.Option(metavar="URL", help="s3://, gs:// or file:/// folder that trials are kept in, by the sweep's name."),
]
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a dotted key.")]


def _wandb_mode(mode: str | None) -> str | None:
    if mode not in (None, "offline", "online", "disabled"):
        raise typer.BadParameter(f"must be offline, online or disabled, got {mode!r}")
    return mode


Wandb = Annotated[
    str | None, typer.Option(envvar="WANDB_MODE", callback=_wandb_mode, help="offline, online or disabled.")
]
Name = Annotated[str, typer.Argument(help="Name of a sweep: its folder in the runs folder.")]
RUNS = Path("runs")
REPORTS = Path("reports")


def print_table(rows: list[dict[str, Any]], empty: str) -> None:
    """Plain columns: readable in a terminal and in a log."""
    if not rows:
        typer.echo(empty)
        return
    columns = list(rows[0])
    cells = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
