"""A run folder -> frames: every table is checked against `schema.json` when it is read.

The schema is a data file so that the side that writes (`sweeps`) and the side that reads can both be tested against it.
A table may hold more columns than the schema names (the configuration and the metrics of a trial); it may not hold
fewer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

TABLES = (
    "trials",
    "replicates",
    "history",
    "variance",
    "gradients",
    "evidence",
    "calibration",
    "importance",
    "references",
)
UNITS = {"active_units": "units", "effective_sample_size": "draws", "pareto_k": "", "importance": ""}
EMPTY_DTYPES = {"integer": "int64", "number": "float64", "text": "str", "boolean": "bool"}


class TableError(ValueError):
    """A table that cannot be used; the message is one line that names the file and, where there is one, the column."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """The tables of one sweep. Tables that the sweep did not write are empty frames with the schema's columns.

    `trials.suspect` and `trials.reason` are plain text, "" where there is nothing to say.
    """

    name: str
    folder: Path
    info: dict[str, Any]
    """sweep.json: name, state, spec, command line, git revision, versions, hardware, data, times, seconds."""
    trials: pd.DataFrame
    replicates: pd.DataFrame
    history: pd.DataFrame
    variance: pd.DataFrame
    gradients: pd.DataFrame
    evidence: pd.DataFrame
    calibration: pd.DataFrame
    importance: pd.DataFrame
    references: pd.DataFrame


@cache
def schema() -> dict[str, Any]:
    """The schema that writer and reader share."""
    document: dict[str, Any] = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))
    return document


def load(folder: Path | str) -> Sweep:
    """Read and check every table of a run folder; a running or interrupted sweep loads as far as it went.

    Raises:
        TableError: a required file is missing; a file is corrupt, from a newer version, or breaks the schema.
    """
    folder = Path(folder)
    info = _read_info(folder / "sweep.json")
    frames = {name: _read_table(folder / f"{name}.parquet", name) for name in TABLES}
    trials = frames["trials"]
    trials["suspect"] = trials["suspect"].map(_reasons).astype("str")
    trials["reason"] = trials["reason"].map(_reasons).astype("str")
    _check_trials_known(folder, frames)
    return Sweep(name=str(info.get("name", folder.name)), folder=folder, info=info, **frames)


def joined(
    sweep: Sweep,
    table: str = "replicates",
    *,
    statuses: Iterable[str] | None = ("finished",),
    columns: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Rows of a table with their trial's configuration, `phase`, `config_hash`, `suspect` and `trial_status`.

    Only trials that ended with one of `statuses` are kept (None: all): a stopped or failed trial is not an
    end-of-training result. Where table and trial share a name (`seed`, `status`), the table's own column wins.
    `columns` limits the configuration to those (for the long tables of a large sweep; None: all).
    """
    frame: pd.DataFrame = getattr(sweep, table)
    trials = sweep.trials.rename(columns={"status": "trial_status"})
    if statuses is not None:
        trials = trials[trials["trial_status"].isin(list(statuses))]
    configuration = configuration_columns(trials) if columns is None else list(columns)
    context = ["trial", "phase", "trial_status", "suspect", "config_hash", *configuration]
    kept = [name for name in context if name == "trial" or name not in frame.columns]
    return frame.merge(trials[kept], on="trial", how="inner", validate="many_to_one").copy()


def configuration_columns(trials: pd.DataFrame) -> list[str]:
    """Columns of `trials` that hold the configuration (not metrics, not bookkeeping)."""
    sections, leaves = schema()["configuration"]["sections"], schema()["configuration"]["leaves"]
    return [name for name in trials.columns if name.partition(".")[0] in sections or name in leaves]


def varying(frame: pd.DataFrame) -> list[str]:
    """Configuration columns that take more than one value: what the sweep swept. Seeds and replicates are left out."""
    counting = ("seed", "replicates", "first_replicate")
    names = [name for name in configuration_columns(frame) if name not in counting]
    return [name for name in names if frame[name].nunique(dropna=False) > 1]


def unit_of(name: str) -> str:
    """Unit of a metric or table column by its name: nats unless the name says otherwise, "" for pure numbers."""
    leaf = name.removesuffix(".standard_error").rpartition(".")[2]
    if name.startswith("seconds") or leaf == "seconds":
        return "seconds"
    if name.startswith("variance.") or leaf in ("variance", "between_images", "predicted"):
        return "" if "_ratio" in leaf or "_slope" in leaf else "nats²"
    if leaf.endswith("bits_per_dim"):
        return "bits per dimension"
    return UNITS.get(leaf, "nats")


# --- reading --------------------------------------------------------------------------------------------------------


def _read_info(path: Path) -> dict[str, Any]:
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
    for column, rule in rules["columns"].items():
        _check_column(path, table, column, rule)
    frame = table.to_pandas()
    numbers = [name for name, rule in rules["columns"].items() if rule["type"] == "number"]
    numbers = [name for name in numbers if frame[name].dtype != "float64"]
    # Casting columns one by one fragments a frame, and pandas warns when a wide one then grows; a copy joins it again.
    frame = frame.astype(dict.fromkeys(numbers, "float64")).copy()
    key = rules["key"]
    if key and frame.duplicated(key).any():
        row = frame.loc[frame.duplicated(key), key].iloc[0]
        values = ", ".join(f"{column} {row[column]}" for column in key)
        raise TableError(f"{path}: column {key[0]}: rows must be unique, got {values} twice")
    ordered: pd.DataFrame = frame.sort_values(key, kind="stable", ignore_index=True) if key else frame
    return ordered


def _empty(rules: dict[str, Any]) -> pd.DataFrame:
    columns = rules["columns"].items()
    return pd.DataFrame({name: pd.Series(dtype=EMPTY_DTYPES[rule["type"]]) for name, rule in columns})


def _check_version(path: Path, arrow: pa.Schema) -> None:
    key, known = schema()["metadata_key"], schema()["version"]
    written = (arrow.metadata or {}).get(key.encode())
    if written is None:
        raise TableError(f"{path}: metadata {key} is missing; it is not a table of elbosweep")
    if not written.isdigit() or int(written) < 1:
        raise TableError(f"{path}: metadata {key} must be a version number, got {written.decode(errors='replace')!r}")
    if int(written) > known:
        raise TableError(f"{path}: schema version must be at most {known}, got {int(written)}; update elbosweep")


def _check_column(path: Path, table: pa.Table, column: str, rule: dict[str, Any]) -> None:
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
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    kinds = {
        "text": (pa.types.is_string, pa.types.is_large_string),
        "boolean": (pa.types.is_boolean,),
        "integer": (pa.types.is_integer,),
        "number": (pa.types.is_integer, pa.types.is_floating),
    }
    return any(is_kind(arrow) for is_kind in kinds[wanted])


def _check_trials_known(folder: Path, frames: dict[str, pd.DataFrame]) -> None:
    known = set(frames["trials"]["trial"])
    for name, frame in frames.items():
        if "trial" in frame.columns:
            unknown = sorted(set(frame["trial"]) - known)
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
    return " ".join(str(error).split())
