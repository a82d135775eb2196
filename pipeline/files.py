"""Files that are written whole or not at all; JSON and JSON lines, written and read in one way."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from pipeline.config import ConfigError

log = logging.getLogger(__name__)

DAMAGED = ".damaged"
"""Ending of the name of a damaged file that was set aside."""


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a temporary file beside `path`, bring it to the disk, and rename it: old or new, never half.

    Raises:
        ConfigError: the folder cannot be written (names it and says why).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("xb")
    except OSError as error:
        raise ConfigError(f"{path.parent}: must be a folder that can be written: {error.strerror}") from None
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)
            raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from error
        raise


def full_disk(error: BaseException | None) -> str | None:
    """The file or folder on the full disk (or over its quota) that an error comes from; None for any other error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return str(error.filename or error.strerror)
        error = error.__cause__ or error.__context__
    return None


def set_aside(path: Path, why: str) -> None:
    """Rename a damaged file to `NAME.damaged`, and say so."""
    aside = path.with_name(path.name + DAMAGED)
    os.replace(path, aside)
    log.warning("%s is damaged (%s): set aside as %s, and not used", path, why, aside.name)


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8."""
    write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON; a number that is not finite becomes null (JSON has none)."""
    write_text(path, json.dumps(_finite(value), indent=2) + "\n")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line; a number that is not finite becomes null."""
    write_text(path, "".join(json.dumps(_finite(row)) + "\n" for row in rows))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; every failure is a ConfigError that names the file."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: is damaged: not valid JSON: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: is damaged: must hold a JSON object, got {type(tree).__name__}")
    return tree


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read the objects of a JSON-lines file; none where the file is missing.

    A last line without its newline was cut off when its writer was killed, and is left out; damage anywhere else is a
    ConfigError.
    """
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), start=1):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}: line {number} is damaged: {error}") from None
