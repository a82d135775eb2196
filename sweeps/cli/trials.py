"""Commands that train or measure a single trial; they need neither Ray nor W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sweeps.cli.app import RUNS, Assignments, DataDir, RunsDir, app, print_table


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
    from pipeline.config import ConfigError, flatten, override, parse, read_yaml
    from pipeline.training.replicate import TrainingDiverged
    from pipeline.trial import run_trial
    from sweeps.specification.keys import misspelt

    tree = override(read_yaml(config), parse_assignments(assignments))
    if problems := misspelt(flatten(tree)):
        raise ConfigError("\n".join(f"{config}: {problem}" for problem in problems))
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
        from sweeps.layout import trial_folder
        from sweeps.record.folders import find

        folder = trial_folder(find(sweep, runs_dir), int(number))
    overrides = parse_assignments(assignments)
    result = evaluate_trial(folder, overrides, device=_device(device), data_dir=data_dir, threads=threads)
    _print_metrics(result.metrics, result.folder)


def parse_assignments(assignments: list[str] | None) -> dict[str, Any]:
    """Read `--set`: `["model.latent_dim=8"]` -> `{"model.latent_dim": 8}`; values are YAML."""
    import yaml

    from pipeline.config import ConfigError
    from sweeps.specification.keys import leaves, unknown

    overrides: dict[str, Any] = {}
    for text in assignments or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set: must be KEY=VALUE, got {text!r}")
        if key not in leaves():
            raise ConfigError(f"--set: {key}: {unknown(key)}, got {value!r}")
        try:
            overrides[key] = leaves()[key].canonical(yaml.safe_load(value))
        except (ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"--set: {key}: {' '.join(str(error).split())}") from None
    return overrides


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
    print_table(rows, empty="no metrics")
    typer.echo(str(folder))


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
