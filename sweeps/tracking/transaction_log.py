"""The `.wandb` file of a run, as far as needed to leave out what a server has already.

The format is LevelDB's log: blocks of 32 KiB, in them chunks of (checksum, length, kind, bytes), after a file header of
7 bytes. A record is one chunk or several; its bytes are a protocol buffer.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE_HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK = 32768
CHUNK_HEADER = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class LogError(ValueError):
    """The file is not what this module knows how to read."""


def without_first_rows(source: Path, target: Path, rows: int) -> None:
    """Copy a log, leaving out its first rows of history.

    Raises:
        LogError: the file has another format.
    """
    kept, skipped = [], 0
    for record in read(source):
        if skipped < rows and kind(record) == "history":
            skipped += 1
        else:
            kept.append(record)
    write(target, kept)


def read(path: Path) -> Iterator[bytes]:
    """The records of a log; ends before the first one that is damaged or cut short.

    Raises:
        LogError: the file has another format.
    """
    content = path.read_bytes()
    if not content.startswith(FILE_HEADER):
        raise LogError(f"{path}: is not a W&B log of the version that is known here")
    position, record = len(FILE_HEADER), b""
    while True:
        left = BLOCK - position % BLOCK
        if left < CHUNK_HEADER.size:
            position += left
        if position + CHUNK_HEADER.size > len(content):
            return
        checksum, length, part = CHUNK_HEADER.unpack_from(content, position)
        data = content[position + CHUNK_HEADER.size : position + CHUNK_HEADER.size + length]
        if part not in (FULL, FIRST, MIDDLE, LAST) or len(data) < length or checksum != _checksum(part, data):
            return
        position += CHUNK_HEADER.size + length
        record = data if part in (FULL, FIRST) else record + data
        if part in (FULL, LAST):
            yield record


def write(path: Path, records: list[bytes]) -> None:
    out = bytearray(FILE_HEADER)
    for record in records:
        started = False
        while True:
            left = BLOCK - len(out) % BLOCK
            if left < CHUNK_HEADER.size:
                out += bytes(left)
                left = BLOCK
            data, record = record[: left - CHUNK_HEADER.size], record[left - CHUNK_HEADER.size :]
            part = (MIDDLE if record else LAST) if started else (FIRST if record else FULL)
            out += CHUNK_HEADER.pack(_checksum(part, data), len(data), part) + data
            started = True
            if not record:
                break
    path.write_bytes(bytes(out))


def _checksum(part: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(bytes([part])))


def kind(record: bytes) -> str | None:
    """What a record is: `run`, `history`, `summary`, `exit`, ..."""
    name: str | None = _parsed(record).WhichOneof("record_type")
    return name


def epochs_and_exit(path: Path) -> tuple[list[int], int | None]:
    """The epochs of a run's history rows, and its exit code if its end was written.

    Raises:
        LogError: the file has another format.
    """
    epochs, exit_code = [], None
    for content in read(path):
        record = _parsed(content)
        what = record.WhichOneof("record_type")
        if what == "history":
            items = (item for item in record.history.item if (item.key or ".".join(item.nested_key)) == "epoch")
            epochs += [int(json.loads(item.value_json)) for item in items]
        elif what == "exit":
            exit_code = int(record.exit.exit_code)
    return epochs, exit_code


def _parsed(record: bytes) -> Any:
    from wandb.proto import wandb_internal_pb2 as messages

    parsed = messages.Record()  # type: ignore[attr-defined]
    parsed.ParseFromString(record)
    return parsed
