"""The command that plans the next measurement: how many draws, images and replicates reach a standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweeps.cli.app import RUNS, Name, RunsDir, app, print_table

if TYPE_CHECKING:
    import pandas as pd

READ = {"num_samples": "L", "images": "images", "replicates": "replicates", "seconds": "seconds"}
"""Planned numbers that are printed, each with its interval."""


@app.command()
def plan(
    name: Name,
    standard_error: Annotated[float, typer.Option("--standard-error", help="Target, nats per image.")] = 0.1,
    by: Annotated[list[str] | None, typer.Option(help="A plan for each value of this key.")] = None,
    new_images: Annotated[bool, typer.Option("--new-images", help="For new images, not for this test split.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything that was planned, for programs.")] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """The cheapest L, images and replicates that reach a standard error, from a sweep's variance study.

    Brackets are 95 % intervals: the variances are themselves known from few seeds and images.
    """
    from analysis.statistics import planning
    from analysis.tables import load
    from pipeline.config import ConfigError
    from sweeps.record.folders import refresh
    from sweeps.specification.keys import leaves, unknown

    if not standard_error > 0:
        raise ConfigError(f"--standard-error: must be above 0, got {standard_error}")
    for key in by or ():
        if key not in leaves():
            raise ConfigError(f"--by: {unknown(key)}, got {key!r}")
    folder, _, _ = refresh(name, runs_dir)
    keys = by or ["model.latent_dim"]
    table = planning.plan(load(folder), standard_error, by=tuple(keys))
    if as_json:
        typer.echo(table.to_json(orient="records", indent=2))
        return
    scope = planning.NEW_IMAGES if new_images else planning.THIS_SPLIT
    print_table(_rows(table[table["scope"] == scope], keys), empty=f"no plan for {scope}")
    typer.echo(f"for {standard_error:g} nats per image on {scope}; the cheapest scheme of draws of each estimator")


def _rows(table: pd.DataFrame, keys: list[str]) -> list[dict[str, Any]]:
    """One line for each estimator: its cheapest scheme, or why there is none."""
    shown: list[dict[str, Any]] = []
    for _, rows in table.groupby([*keys, "quantity", "num_importance_samples"], dropna=False):
        place = int(rows["seconds"].argmin()) if rows["reachable"].any() else 0
        row = rows.iloc[place]
        line: dict[str, Any] = {key: _text(row[key]) for key in keys}
        k = row["num_importance_samples"]
        line |= {"estimator": row["quantity"] if k != k else f"{row['quantity']} K={k:g}"}
        line |= {"draws": row["sampling"] if row["reachable"] else ""}
        line |= {name: _ranged(row, column) if row["reachable"] else "" for column, name in READ.items()}
        shown.append(line | {"note": row["note"]})
    return shown


def _ranged(row: pd.Series, column: str) -> str:
    """`22 [14, 40]`."""
    value, low, high = (float(row[name]) for name in (column, f"{column}_low", f"{column}_high"))
    if low == high:
        return _text(value)
    return f"{_text(value)} [{_text(low)}, {_text(high)}]"


def _text(value: object) -> str:
    """A number to three digits, a whole one in full."""
    if not isinstance(value, float):
        return str(value)
    if value == float("inf"):
        return "∞"
    return f"{value:.0f}" if value.is_integer() or value >= 100 else f"{value:.3g}"
