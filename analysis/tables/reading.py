"""A run folder -> frames: every table is checked against the schema when it is read.

A table may hold more columns than the schema names (the configuration and the metrics of a trial); it may not hold
fewer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.tables.columns import DIMENSION
from analysis.tables.schema import TABLES, schema
from analysis.tables.sweep import Sweep

RENAMED = {"references": {"latent_dim": DIMENSION}}
"""Table -> columns as older versions wrote them -> their name today; a table with the old names is read as well."""
EMPTY_DTYPES = {"integer": "int64", "number": "float64", "text": "str", "boolean": "bool"}


class TableError(ValueError):
    """A table that cannot be used; the message is one line that names the file and, where there is one, the column."""


def load(folder: Path | str) -> Sweep:
    """Read and check every table of a run folder; a running or interrupted sweep loads as far as it went.

    >>> sweep = load("runs/default")
    >>> sweep.name, len(sweep.trials), sweep.replicates["test.elbo"].notna().all().item()
    ('default', 24, True)

    Raises:
        TableError: a required file is missing; a file is corrupt, from a newer version, or breaks the schema.
    """
    folder = Path(folder)
    info = _read_info(folder / "sweep.json")
    frames = {name: _read_table(folder / f"{name}.parquet", name) for name in TABLES}
    trials = frames["trials"]
    trials["suspect"] = trials["suspect"].map(_reasons).astype("str")
    trials["reason"] = trials["reason"].map(_reasons).astype("str")
    _check_trial_numbers(folder, frames)
    return Sweep(name=str(info.get("name", folder.name)), folder=folder, info=info, **frames)


def _read_info(path: Path) -> dict[str, Any]:
    """`sweep.json`: what the sweep wrote down about itself."""
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TableError(f"{path}: does not exist; is {path.parent} the folder of a sweep?") from None
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise TableError(f"{path}: is not valid JSON: {_one_line(error)}") from None
    if not isinstance(info, dict):
        raise TableError(f"{path}: must hold a JSON object, got {type(info).__name__}")
    return info


def _read_table(path: Path, name: str) -> pd.DataFrame:
    """One table: checked, its numbers as float64, its rows in the order of its key."""
    rules = schema()["tables"][name]
    if not path.exists():
        if rules["required"]:
            raise TableError(f"{path}: does not exist; the sweep wrote no table of {name}")
        return _empty(rules)
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: is not a readable parquet file: {_one_line(error)}") from None
    _check_version(path, table.schema)
    table = _with_todays_names(table, name)
    for column, rule in rules["columns"].items():
        _check_column(path, table, column, rule)
    frame = table.to_pandas()
    numbers = [column for column, rule in rules["columns"].items() if rule["type"] == "number"]
    numbers = [column for column in numbers if frame[column].dtype != "float64"]
    # Casting columns one by one fragments a frame, and pandas warns when a wide one then grows; a copy joins it again.
    frame = frame.astype(dict.fromkeys(numbers, "float64")).copy()
    key = rules["key"]
    if key and frame.duplicated(key).any():
        row = frame.loc[frame.duplicated(key), key].iloc[0]
        values = ", ".join(f"{column} {row[column]}" for column in key)
        raise TableError(f"{path}: column {key[0]}: rows must be unique, got {values} twice")
    ordered: pd.DataFrame = frame.sort_values(key, kind="stable", ignore_index=True) if key else frame
    return ordered


def _with_todays_names(table: pa.Table, name: str) -> pa.Table:
    """A table of an older version with the columns' names of today."""
    today = RENAMED.get(name, {})
    return table.rename_columns([today.get(column, column) for column in table.column_names])


def _empty(rules: dict[str, Any]) -> pd.DataFrame:
    """The frame of a table that the sweep did not write: its columns, no rows."""
    columns = rules["columns"].items()
    return pd.DataFrame({name: pd.Series(dtype=EMPTY_DTYPES[rule["type"]]) for name, rule in columns})


def _check_version(path: Path, arrow: pa.Schema) -> None:
    """The file is a table of elbosweep, and not of a version that is newer than this one."""
    key, newest = schema()["metadata_key"], schema()["version"]
    written = (arrow.metadata or {}).get(key.encode())
    if written is None:
        raise TableError(f"{path}: metadata {key} is missing; it is not a table of elbosweep")
    if not written.isdigit() or int(written) < 1:
        raise TableError(f"{path}: metadata {key} must be a version number, got {written.decode(errors='replace')!r}")
    if int(written) > newest:
        raise TableError(f"{path}: schema version must be at most {newest}, got {int(written)}; update elbosweep")


def _check_column(path: Path, table: pa.Table, column: str, rule: dict[str, Any]) -> None:
    """A column is there, of its type, without gaps where none may be, and holds allowed words only."""
    if column not in table.column_names:
        raise TableError(f"{path}: column {column} is missing")
    data = table.column(column)
    empty_of_type = pa.types.is_null(data.type) and (rule.get("null", False) or table.num_rows == 0)
    if not empty_of_type and not _is_type(data.type, rule["type"]):
        raise TableError(f"{path}: column {column} must hold {rule['type']} values, got {data.type}")
    if data.null_count and not rule.get("null", False):
        raise TableError(f"{path}: column {column} must not be empty, got {data.null_count} empty values")
    if "values" in rule:
        unknown = sorted(set(data.unique().to_pylist()) - set(rule["values"]))
        if unknown:
            raise TableError(f"{path}: column {column} must be one of {', '.join(rule['values'])}, got {unknown[0]!r}")


def _is_type(arrow: pa.DataType, wanted: str) -> bool:
    """Whether a column's storage type is one of the schema's types."""
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    kinds = {
        "text": (pa.types.is_string, pa.types.is_large_string),
        "boolean": (pa.types.is_boolean,),
        "integer": (pa.types.is_integer,),
        "number": (pa.types.is_integer, pa.types.is_floating),
    }
    return any(is_kind(arrow) for is_kind in kinds[wanted])


def _check_trial_numbers(folder: Path, frames: dict[str, pd.DataFrame]) -> None:
    """Every row belongs to a trial of `trials.parquet`."""
    numbers = set(frames["trials"]["trial"])
    for name, frame in frames.items():
        if "trial" in frame.columns:
            unknown = sorted(set(frame["trial"]) - numbers)
            if unknown:
                path = folder / f"{name}.parquet"
                raise TableError(f"{path}: column trial must name a trial of trials.parquet, got {unknown[0]}")


def _reasons(cell: object) -> str:
    """A cell that holds nothing, one reason, or a JSON list of reasons -> one line."""
    if not isinstance(cell, str):
        return ""
    try:
        reasons = json.loads(cell) if cell.startswith("[") else [cell]
    except ValueError:
        reasons = [cell]
    return "; ".join(str(reason) for reason in reasons)


def _one_line(error: Exception) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split())
