"""Commands on what a sweep left behind: reports, W&B; and what this machine can do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from sweeps.cli.app import REPORTS, RUNS, DataDir, Name, RunsDir, app, print_table


@app.command()
def calibrate(
    name: Annotated[str | None, typer.Argument(help="Write the table into this sweep as well.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Every estimator against its exact value; under a minute. Exit code 1 if one is off."""
    from pipeline.calibration.rows import TOLERANCE_ULPS
    from pipeline.calibration.table import LIMIT, worst
    from pipeline.calibration.table import calibrate as rows_of

    folder = None
    if name is not None:
        from sweeps.record.folders import find

        folder = find(name, runs_dir)
    rows = rows_of(seed, lambda section: typer.echo(f"{section} ...", err=True))
    if folder is not None:
        from sweeps.layout import CALIBRATION
        from sweeps.record.references import write_shipped_calibration
        from sweeps.record.tables import write_table

        write_table(folder, CALIBRATION, [dict(row) for row in rows])
        write_shipped_calibration(folder)
    shown = ("value", "exact", "standard_error", "z_score", "ulps")
    texts = [{key: "" if row[key] is None else f"{row[key]:.5g}" for key in shown} for row in rows]
    print_table([dict(row) | text for row, text in zip(rows, texts, strict=True)], empty="no rows")
    typer.echo(
        f"{len(rows)} checks, largest |z| {worst(rows):.2f} (limit {LIMIT:g}); "
        f"deterministic ones within {TOLERANCE_ULPS:g} ulp"
    )
    raise typer.Exit(0 if worst(rows) <= LIMIT else 1)


@app.command()
def report(
    name: Annotated[str | None, typer.Argument(help="Name of a sweep: its folder in the runs folder.")] = None,
    from_wandb: Annotated[
        str | None, typer.Option(metavar="ENTITY/PROJECT/GROUP", help="Fill the tables from W&B first.")
    ] = None,
    reports_dir: Annotated[Path, typer.Option("--reports-dir", help="Folder of all reports.")] = REPORTS,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Write the report of a sweep, finished or not: reports/NAME/index.html."""
    from analysis.report import write
    from pipeline.config import ConfigError

    if from_wandb is not None:
        name = _fetch(from_wandb, runs_dir, name)
    elif name is None:
        raise ConfigError("report: needs the name of a sweep, or --from-wandb ENTITY/PROJECT/GROUP")
    from sweeps.record.folders import refresh
    from sweeps.record.from_wandb import is_copy

    if is_copy(runs_dir / name):
        typer.echo(str(write(runs_dir.resolve() / name, reports_dir / name, _say())))
        return
    folder, spec, _ = refresh(name, runs_dir)
    page = write(folder, reports_dir / name, _say())
    typer.echo(str(page))
    if spec.tracking.artifacts != "off":
        from sweeps.tracking.trial_runs import log_report

        log_report(folder, spec, page.parent, lambda line: typer.echo(line, err=True))


def _say() -> Callable[[str], None] | None:
    """Onto the terminal, if there is one: drawing takes seconds."""
    return (lambda line: typer.echo(line, err=True)) if sys.stderr.isatty() else None


def _fetch(path: str, runs_dir: Path, name: str | None) -> str:
    from sweeps.record.from_wandb import fetch

    fetched = fetch(path, runs_dir, name)
    typer.echo(f"{fetched.trials} trials of {path}: {fetched.folder}", err=True)
    if fetched.without_files:
        numbers = ", ".join(map(str, fetched.without_files))
        typer.echo(f"W&B holds no record of trials {numbers}: only their configuration is in the tables", err=True)
    return fetched.folder.name


@app.command()
def sync(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="Runs in flight at once.")] = 4,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Upload the sweep's offline W&B runs that are not up yet."""
    from sweeps.record.folders import find
    from sweeps.tracking.sync import sync as upload

    receipt = upload(
        find(name, runs_dir), limit=limit, report=lambda run: typer.echo(f"{run.run}: {run.error or run.url or 'up'}")
    )
    counts = f"{len(receipt.uploaded)} uploaded, {len(receipt.already)} were up, {len(receipt.failed)} failed"
    typer.echo(f"{counts}: {receipt.path}")
    raise typer.Exit(0 if receipt.complete else 1)


@app.command()
def dashboard(
    name: Name,
    publish: Annotated[bool, typer.Option("--publish", help="Save a workspace and a report in W&B.")] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Look at the sweep's W&B runs in the terminal; no account, no network."""
    from sweeps.record.folders import find, spec_to_read_by
    from sweeps.tracking import dashboard as boards

    folder = find(name, runs_dir)
    if not publish:
        boards.open_leet(folder)
    from sweeps.tracking.trial_runs import sweep_id

    spec = spec_to_read_by(folder)
    view = boards.View(
        sweep_id(folder, spec.name),
        spec.tracking.project,
        spec.tracking.entity or "",
        tuple(spec.parameters()),
        spec.description,
    )
    for url in boards.publish(view):
        typer.echo(url)


@app.command()
def doctor(runs_dir: RunsDir = RUNS, data_dir: DataDir = None) -> None:
    """What is installed, which devices, threads, W&B mode and data are there, and what is wrong."""
    from sweeps.cli.doctor import examine

    findings = examine(runs_dir, data_dir)
    for finding in findings:
        typer.echo(str(finding))
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)
