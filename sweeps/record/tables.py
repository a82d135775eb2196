"""The parquet tables of a sweep, collected from its trials' folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from pipeline.files import read_rows, write_atomic
from pipeline.layout import LONG_TABLES, rows_file
from sweeps.layout import TRIALS, table_file, trial_folder
from sweeps.record.ledger import SCHEMA, Ledger, Record, read_result
from sweeps.specification.spec import SweepSpec


def collect(ledger: Ledger, spec: SweepSpec) -> dict[str, int]:
    """Write trials.parquet and the long tables; gives back the number of rows of each."""
    records = [ledger.records[number] for number in sorted(ledger.records)]
    rows = {TRIALS: write_table(ledger.folder, TRIALS, [_trial_row(ledger, spec, record) for record in records])}
    finished = [record.plan.number for record in records if record.status == "finished"]
    for name in LONG_TABLES:
        rows[name] = write_table(ledger.folder, name, list(long_rows(ledger.folder, name, finished)))
    return rows


def _trial_row(ledger: Ledger, spec: SweepSpec, record: Record) -> dict[str, Any]:
    result = None
    if record.status != "running":
        result = read_result(ledger.trial_folder(record.plan.number))
    return trial_row(record, result, spec.flat(record.plan.overrides))


def trial_row(record: Record, result: Mapping[str, Any] | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """One row of trials.parquet; `config` is resolved and flat."""
    plan = record.plan
    row: dict[str, Any] = {
        "trial": plan.number,
        "phase": plan.phase,
        "status": record.status,
        "reason": record.reason,
        "suspect": json.dumps(result["suspect"]) if result and result.get("suspect") else None,
        "config_hash": plan.config_hash,
        **{key: _cell(value) for key, value in config.items()},
    }
    if result is not None:
        row |= result["metrics"]
        row |= {f"seconds.{name}": value for name, value in result["seconds"].items()}
    row |= {f"seconds.{name}": value for name, value in record.seconds.items()}
    return row | {"started": record.started, "ended": record.ended, "device": record.device}


def long_rows(folder: Path, name: str, numbers: list[int]) -> Iterator[dict[str, Any]]:
    """Rows of a long table from the trial folders in `folder`."""
    for number in numbers:
        for row in read_rows(trial_folder(folder, number) / rows_file(name)):
            yield {"trial": number} | {key: _cell(value) for key, value in row.items()}


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, tuple, dict)) else value


def write_table(folder: Path, name: str, rows: list[dict[str, Any]] | list[Mapping[str, Any]]) -> int:
    """Write one table, atomically, with its schema version; no file where there are no rows."""
    path = folder / table_file(name)
    if not rows:
        path.unlink(missing_ok=True)
        return 0
    # Imported where a table is written: commands that only read the ledger answer without.
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"elbosweep.schema": str(SCHEMA).encode()})

    def write(file: IO[bytes]) -> None:
        pq.write_table(table, file, write_page_checksum=True)

    write_atomic(path, write)
    return len(rows)
