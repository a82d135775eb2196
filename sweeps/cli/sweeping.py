"""Commands that run sweeps and show how they stand. Ray is imported by the commands that need it."""

from __future__ import annotations

import re
import shlex
import sys
from typing import Annotated

import typer

from sweeps.cli.app import RUNS, Address, DataDir, Name, RunsDir, Storage, Wandb, Workers, app, print_table


@app.command()
def run(
    spec: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped specification.")],
    name: Annotated[str | None, typer.Option(help="Name of the sweep (default: the specification's).")] = None,
    data_dir: DataDir = None,
    wandb: Wandb = None,
    workers: Workers = None,
    address: Address = None,
    storage: Storage = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a sweep of the same name.")] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Run the sweep that a specification describes."""
    from pipeline.config import ConfigError, read_yaml
    from pipeline.config.errors import RULES
    from sweeps.specification.reading import find, parse
    from sweeps.specification.spec import NAME_PATTERN

    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(f"--name: {RULES['string_pattern_mismatch']}, got {name!r}")
    path = find(spec)
    tree = read_yaml(path)
    if name is not None:
        tree["name"] = name
    if wandb is not None:
        given = tree.get("tracking")
        tree["tracking"] = {**(given if isinstance(given, dict) else {}), "wandb": wandb}
    specification = parse(tree, str(path))
    from sweeps.machine import scratch
    from sweeps.machine.interrupts import ignore_more
    from sweeps.running.sweep import Setting, Sweep

    setting = Setting(runs_dir, data_dir, workers, address=address, storage=storage, command=_command())
    with scratch.home():
        code = Sweep(specification, setting).run(force=force)
        ignore_more(code)
    raise typer.Exit(code)


@app.command()
def resume(
    name: Name,
    data_dir: DataDir = None,
    wandb: Wandb = None,
    workers: Workers = None,
    address: Address = None,
    storage: Storage = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Go on with an interrupted sweep: finished trials are kept, running ones go on from their checkpoints."""
    from sweeps.machine import scratch
    from sweeps.machine.interrupts import ignore_more
    from sweeps.running.sweep import Setting, Sweep

    setting = Setting(runs_dir, data_dir, workers, wandb, address, storage, command=_command())
    with scratch.home():
        code = Sweep.resume(name, setting)
        ignore_more(code)
    raise typer.Exit(code)


def _command() -> str:
    """What was typed, for the record."""
    return shlex.join(["elbosweep", *sys.argv[1:]])


@app.command()
def status(name: Name, runs_dir: RunsDir = RUNS) -> None:
    """What is done, running and failed, the best so far, and whether all records agree."""
    from sweeps.cli import status

    state = status.read(name, runs_dir)
    typer.echo("\n".join(status.lines(state)))
    raise typer.Exit(1 if state.disagreements or state.counts.get("failed") else 0)


@app.command("list")
def list_sweeps(context: typer.Context, runs_dir: RunsDir = RUNS) -> None:
    """All sweeps of the runs folder."""
    from pipeline.config import ConfigError
    from sweeps.cli import status

    source = context.get_parameter_source("runs_dir")
    if not runs_dir.is_dir() and source is not None and source.name != "DEFAULT":
        raise ConfigError(f"--runs-dir (or ELBOSWEEP_RUNS): must be a folder that exists, got {str(runs_dir)!r}")

    print_table(status.overview(runs_dir), empty=f"no sweeps in {runs_dir}")


@app.command()
def show(name: Name, trial: Annotated[int, typer.Argument(min=0)], runs_dir: RunsDir = RUNS) -> None:
    """One trial: its configuration, what came out, and why it failed if it did."""
    from sweeps.cli import status

    typer.echo("\n".join(status.trial_lines(name, trial, runs_dir)))
