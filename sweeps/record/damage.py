"""Damaged files of a sweep: looked for before it is resumed, named, set aside as `NAME.damaged`, and made anew.

What a table or a result held comes from running that trial again; everything else from what is beside it.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import yaml

from pipeline.config import ConfigError
from pipeline.files import read_json, read_rows, set_aside
from pipeline.layout import CHECKPOINTS, RESULT
from sweeps.layout import RECORD, STATE, TRIALS
from sweeps.record.ledger import checksums


def set_aside_damaged(folder: Path) -> list[Path]:
    """Examine the folder of a sweep that nobody runs; gives back the files that were damaged.

    A finished trial one of whose files is not what it was loses its result, so that it is run again.
    """
    damaged = [path for path in (folder / STATE, *folder.glob("*.parquet")) if _aside(path)]
    for trial in sorted((folder / TRIALS).glob("[0-9]*")):
        damaged += _trial(trial)
    return damaged


def _trial(trial: Path) -> list[Path]:
    """The damaged files of one trial; its result goes with them where it was finished."""
    record = trial / RECORD
    damaged_record = [record] if _aside(record) else []
    written = read_json(record).get("files", {}) if record.exists() else {}
    files = [*trial.glob("*.json"), *trial.glob("*.jsonl"), *trial.glob("*.yaml"), *trial.glob(f"{CHECKPOINTS}/*.*")]
    damaged = [path for path in files if _aside(path)]
    for name, checksum in checksums(trial).items():
        if written.get(name, checksum) != checksum:
            set_aside(trial / name, "is not what was written when the trial was finished")
            damaged.append(trial / name)
    missing = [trial / name for name in written if not (trial / name).exists()]
    if (damaged or missing) and written and (trial / RESULT).exists():
        set_aside(trial / RESULT, f"{(damaged + missing)[0].name} is lost: the trial is run again")
    return damaged_record + damaged


def _aside(path: Path) -> bool:
    """Whether the file was damaged, and is aside now."""
    examine = EXAMINED.get(path.suffix)
    if examine is None or not path.is_file():
        return False
    try:
        examine(path)
    except (ConfigError, ValueError, OSError, yaml.YAMLError, zipfile.BadZipFile, zlib.error) as why:
        set_aside(path, " ".join(str(why).replace(f"{path}: ", "").split())[:200])
        return True
    return False


def _yaml(path: Path) -> None:
    if not isinstance(tree := yaml.safe_load(path.read_text(encoding="utf-8")), dict):
        raise ValueError(f"must hold a mapping, got {type(tree).__name__}")


def _rows(path: Path) -> None:
    """Written whole or not at all: here even a last line without its end is damage."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        raise ValueError("the last line is torn")
    for row in read_rows(path):
        if not isinstance(row, dict):
            raise ValueError(f"must hold JSON objects, got {json.dumps(row)[:20]}")


def _checkpoint(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():
            raise ValueError(f"checksum of {bad} does not match")


def _table(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as table:
            for _ in table.iter_batches():
                pass
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None


EXAMINED: dict[str, Callable[[Path], object]] = {
    ".json": read_json,
    ".jsonl": _rows,
    ".yaml": _yaml,
    ".pt": _checkpoint,
    ".parquet": _table,
}
