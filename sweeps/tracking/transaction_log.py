"""The `.wandb` file of a run: which epochs it holds, how it ended, and a copy without what a server has already.

The format is LevelDB's log: blocks of 32 KiB, in them chunks of (checksum, length, kind, bytes), after a file header of
7 bytes. A record is one chunk or several; its bytes are a protocol buffer, of which a few fields are read here:
importing W&B's own classes takes over a second, and `elbosweep status` answers in half of one.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

FILE_HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK = 32768
CHUNK_HEADER = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
KINDS = {2: "history", 17: "run", 18: "exit"}
HISTORY_ITEM, ITEM_KEY, ITEM_NESTED_KEY, ITEM_VALUE, EXIT_CODE = 1, 1, 2, 16, 1
"""Numbers of the fields that are read (wandb/proto/wandb_internal.proto)."""
VARINT, DELIMITED = 0, 2
FIXED_SIZES = {1: 8, 5: 4}
"""Kinds of fields (protobuf.dev/programming-guides/encoding), and the bytes of those of a fixed size."""


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
    """What a record is: `history`, `run`, `exit`; None for all others, which nothing here looks at."""
    return next((KINDS[number] for number, _ in _fields(record) if number in KINDS), None)


def epochs_and_exit(path: Path) -> tuple[list[int], int | None]:
    """The epochs of a run's history rows, and its exit code if its end was written.

    Raises:
        LogError: the file has another format.
    """
    epochs: list[int] = []
    exit_code = None
    for record in read(path):
        for number, content in _fields(record):
            what = KINDS.get(number)
            if what == "history":
                epochs += _epochs(_message(content))
            elif what == "exit":
                codes = [value for field, value in _fields(_message(content)) if field == EXIT_CODE]
                exit_code = _signed(codes[-1]) if codes else 0
    return epochs, exit_code


def _epochs(history: bytes) -> Iterator[int]:
    """The values of a row's items that are named `epoch`."""
    for number, item in _fields(history):
        if number != HISTORY_ITEM:
            continue
        key, nested_key, value = "", [], ""
        for field, content in _fields(_message(item)):
            if field == ITEM_KEY:
                key = _message(content).decode()
            elif field == ITEM_NESTED_KEY:
                nested_key.append(_message(content).decode())
            elif field == ITEM_VALUE:
                value = _message(content).decode()
        if (key or ".".join(nested_key)) == "epoch":
            yield int(json.loads(value))


# --- protocol buffers -----------------------------------------------------------------------------------------------


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(number, content) of each field: an integer, or bytes for everything that has a length.

    Raises:
        LogError: the bytes are no protocol buffer.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        content: bytes | int
        if wire_type == VARINT:
            content, position = _varint(message, position)
        else:
            if wire_type == DELIMITED:
                size, position = _varint(message, position)
            elif wire_type in FIXED_SIZES:
                size = FIXED_SIZES[wire_type]
            else:
                raise LogError(f"a field of kind {wire_type} is not one that is known here")
            content, position = message[position : position + size], position + size
        if position > len(message):
            raise LogError("a field is longer than its record")
        yield number, content


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """An integer in groups of seven bits, the lowest first, and the position after it."""
    value = shift = 0
    while position < len(message):
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise LogError("an integer is longer than its record")


def _message(content: bytes | int) -> bytes:
    if isinstance(content, int):
        raise LogError("a field holds an integer where a message is known to be")
    return content


def _signed(content: bytes | int) -> int:
    """An int32, which the format writes as 64 bits in two's complement."""
    if not isinstance(content, int):
        raise LogError("a field holds bytes where an integer is known to be")
    return content - (1 << 64) if content >= 1 << 63 else content
