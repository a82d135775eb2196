"""The command line. Imports wait until a command needs them: `--help`, `train` and `doctor` work without Ray."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from sweeps.sweep import Setting

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
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a dotted key.")]
Wandb = Annotated[str | None, typer.Option(envvar="WANDB_MODE", help="offline, online or disabled.")]
Name = Annotated[str, typer.Argument(help="Name of a sweep: its folder in the runs folder.")]
RUNS = Path("runs")
REPORTS = Path("reports")


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


# --- sweeps ---------------------------------------------------------------------------------------------------------


@app.command()
def run(
    spec: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped specification.")],
    name: Annotated[str | None, typer.Option(help="Name of the sweep (default: the specification's).")] = None,
    data_dir: DataDir = None,
    wandb: Wandb = None,
    workers: Workers = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a sweep of the same name.")] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Run the sweep that a specification describes."""
    from pipeline.config import read_yaml
    from sweeps.spec import find, parse

    path = find(spec)
    tree = read_yaml(path)
    if name is not None:
        tree["name"] = name
    if wandb is not None:
        given = tree.get("tracking")
        tree["tracking"] = {**(given if isinstance(given, dict) else {}), "wandb": wandb}
    specification = parse(tree, str(path))
    from sweeps import sweep

    code = sweep.start(specification, _setting(runs_dir, data_dir, workers), force=force)
    _finish(specification.name, runs_dir, code)


@app.command()
def resume(
    name: Name, data_dir: DataDir = None, wandb: Wandb = None, workers: Workers = None, runs_dir: RunsDir = RUNS
) -> None:
    """Go on with an interrupted sweep: finished trials are kept, running ones go on from their checkpoints."""
    from sweeps import sweep

    code = sweep.resume(name, replace(_setting(runs_dir, data_dir, workers), wandb=wandb))
    _finish(name, runs_dir, code)


def _setting(runs_dir: Path, data_dir: Path | None, workers: int | None) -> Setting:
    from sweeps.sweep import Setting

    # A worker's own folder may be another one: only absolute paths mean the same there.
    where = None if data_dir is None else data_dir.expanduser().resolve()
    return Setting(runs_dir, where, workers, command=shlex.join(["elbosweep", *sys.argv[1:]]))


def _finish(name: str, runs_dir: Path, code: int) -> NoReturn:
    if code != 130:
        from sweeps.references import write_calibration

        write_calibration(runs_dir.resolve() / name)
    raise typer.Exit(code)


@app.command()
def status(name: Name, runs_dir: RunsDir = RUNS) -> None:
    """What is done, running and failed, the best so far, and whether all records agree."""
    from sweeps import status

    state = status.read(name, runs_dir)
    typer.echo("\n".join(status.lines(state)))
    raise typer.Exit(1 if state.disagreements or state.counts.get("failed") else 0)


@app.command("list")
def list_sweeps(runs_dir: RunsDir = RUNS) -> None:
    """All sweeps of the runs folder."""
    from sweeps import status

    _print_table(status.overview(runs_dir), empty=f"no sweeps in {runs_dir}")


@app.command()
def show(name: Name, trial: Annotated[int, typer.Argument(min=0)], runs_dir: RunsDir = RUNS) -> None:
    """One trial: its configuration, what came out, and why it failed if it did."""
    from sweeps import status

    typer.echo("\n".join(status.trial_lines(name, trial, runs_dir)))


# --- single trials --------------------------------------------------------------------------------------------------


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A trial's YAML file.")],
    folder: Annotated[Path | None, typer.Option(help="Where the results go (default: trials/NAME).")] = None,
    assignments: Assignments = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    data_dir: DataDir = None,
) -> None:
    """Train one configuration, without Ray; an interrupted run of it goes on."""
    from pipeline.config import override, parse, read_yaml
    from pipeline.training import TrainingDiverged
    from pipeline.trial import run_trial

    tree = override(read_yaml(config), parse_assignments(assignments))
    trial, target = parse(tree, str(config)), folder or Path("trials") / config.stem

    def report(epoch: int, metrics: dict[str, float]) -> None:
        shown = [f"{key} {metrics[key]:.3f}" for key in ("train.elbo", "validation.elbo") if key in metrics]
        typer.echo(f"epoch {epoch}/{trial.training.epochs}  {'  '.join(shown)}", err=True)

    try:
        result = run_trial(trial, target, device=_device(device), data_dir=data_dir, report=report, threads=threads)
    except TrainingDiverged as error:
        typer.echo(f"elbosweep: {error}", err=True)
        raise typer.Exit(1) from None
    _print_metrics(result.metrics, target)


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="A trial's folder, or NAME/NUMBER.")],
    assignments: Assignments = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Measure a trained trial again, with other sizes: `--set evaluation.num_importance_samples=[1,4096]`."""
    from pipeline.trial import evaluate_trial

    folder = Path(run)
    sweep, _, number = run.partition("/")
    if not folder.is_dir() and number.isdecimal():
        from sweeps.sweep import find

        folder = find(sweep, runs_dir) / "trials" / f"{int(number):04d}"
    overrides = parse_assignments(assignments)
    result = evaluate_trial(folder, overrides, device=_device(device), data_dir=data_dir, threads=threads)
    _print_metrics(result.metrics, result.folder)


def parse_assignments(assignments: list[str] | None) -> dict[str, Any]:
    """`["model.latent_dim=8"]` -> `{"model.latent_dim": 8}`; values are YAML."""
    import yaml

    from pipeline.config import ConfigError
    from sweeps.keys import leaves, unknown

    found: dict[str, Any] = {}
    for text in assignments or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set: must be KEY=VALUE, got {text!r}")
        if key not in leaves():
            raise ConfigError(f"--set: {key}: {unknown(key)}, got {value!r}")
        try:
            found[key] = leaves()[key].canonical(yaml.safe_load(value))
        except (ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"--set: {key}: {' '.join(str(error).split())}") from None
    return found


def _device(wanted: str) -> str:
    import torch

    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def _print_metrics(metrics: dict[str, float | None], folder: Path) -> None:
    rows = [
        {"metric": key, "mean": f"{value:.4f}", "standard error": _error(metrics.get(f"{key}.standard_error"))}
        for key, value in metrics.items()
        if value is not None and not key.endswith(".standard_error")
    ]
    _print_table(rows, empty="no metrics")
    typer.echo(str(folder))


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


# --- after the sweep ------------------------------------------------------------------------------------------------


@app.command()
def calibrate(
    name: Annotated[str | None, typer.Argument(help="Write the table into this sweep as well.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Every estimator against its exact value; under a minute. Exit code 1 if one is off."""
    from pipeline.calibration import LIMIT, worst
    from pipeline.calibration import calibrate as rows_of

    folder = None
    if name is not None:
        from sweeps.sweep import find

        folder = find(name, runs_dir)
    rows = rows_of(seed, lambda section: typer.echo(f"{section} ...", err=True))
    if folder is not None:
        from sweeps.collect import write_table

        write_table(folder, "calibration", [dict(row) for row in rows])
    shown = ("value", "exact", "standard_error", "z_score")
    _print_table([dict(row) | {key: f"{row[key]:.5g}" for key in shown} for row in rows], empty="no rows")
    typer.echo(f"{len(rows)} checks, largest |z| {worst(rows):.2f} (limit {LIMIT:g})")
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
    from sweeps.from_wandb import is_copy
    from sweeps.sweep import refresh

    if is_copy(runs_dir / name):
        typer.echo(str(write(runs_dir.resolve() / name, reports_dir / name)))
        return
    folder, spec, _ = refresh(name, runs_dir)
    page = write(folder, reports_dir / name)
    typer.echo(str(page))
    if spec.tracking.artifacts != "off":
        from sweeps.recorder import log_report

        log_report(folder, spec, page.parent, lambda line: typer.echo(line, err=True))


def _fetch(path: str, runs_dir: Path, name: str | None) -> str:
    from sweeps.from_wandb import fetch

    fetched = fetch(path, runs_dir, name)
    typer.echo(f"{fetched.trials} trials of {path}: {fetched.folder}", err=True)
    if fetched.without_files:
        numbers = ", ".join(map(str, fetched.without_files))
        typer.echo(f"W&B holds no record of trials {numbers}: only their configuration is in the tables", err=True)
    return fetched.folder.name


@app.command()
def plan(
    name: Name,
    standard_error: Annotated[float, typer.Option("--standard-error", help="Target, nats per image.")] = 0.1,
    by: Annotated[list[str] | None, typer.Option(help="A plan for each value of this key.")] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """The cheapest L, images and replicates that reach a standard error, from a sweep's variance study."""
    from analysis.planning import plan as plan_of
    from analysis.tables import load
    from pipeline.config import ConfigError
    from sweeps.keys import leaves, unknown
    from sweeps.sweep import refresh

    if not standard_error > 0:
        raise ConfigError(f"--standard-error: must be above 0, got {standard_error}")
    for key in by or ():
        if key not in leaves():
            raise ConfigError(f"--by: {unknown(key)}, got {key!r}")
    folder, _, _ = refresh(name, runs_dir)
    typer.echo(plan_of(load(folder), standard_error, by=tuple(by or ("model.latent_dim",))).to_string(index=False))


@app.command()
def sync(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="Runs in flight at once.")] = 4,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Upload the sweep's offline W&B runs that are not up yet."""
    from sweeps.sweep import find
    from sweeps.sync import sync as upload

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
    from sweeps import dashboard as boards
    from sweeps.sweep import find, read_spec

    folder = find(name, runs_dir)
    if not publish:
        boards.open_leet(folder)
    from sweeps.recorder import sweep_id

    spec = read_spec(folder)
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
    from sweeps.doctor import examine

    findings = examine(runs_dir, data_dir)
    for finding in findings:
        typer.echo(str(finding))
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)


def _print_table(rows: list[dict[str, Any]], empty: str) -> None:
    """Plain columns: readable in a terminal and in a log."""
    if not rows:
        typer.echo(empty)
        return
    columns = list(rows[0])
    cells = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


if __name__ == "__main__":
    main()
