"""Checkpoints: tensors in files that are written whole, checked when read, and refused when they belong elsewhere."""

from __future__ import annotations

import json
import logging
import pickle
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.config import ConfigError
from pipeline.files import set_aside, write_atomic

log = logging.getLogger(__name__)

SCHEMA = 1
MOST_OF_TRAINING = 0.02
"""Largest share of the training time that saving may take."""


def save(path: Path, state: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Write tensors and plain values, under the identity (configuration, data) that they belong to."""
    content = {"schema": SCHEMA, "identity": json.dumps(identity, sort_keys=True), "state": dict(state)}
    write_atomic(path, lambda file: torch.save(content, file))


def load(path: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state saved under `path`; None where there is none, or where the file was damaged.

    A damaged file is named in the log and set aside as `NAME.damaged`, never read. Nothing but tensors and plain
    values is unpickled.

    Raises:
        ConfigError: the file belongs to another configuration or other data (names what differs), or cannot be read.
    """
    try:
        content = _read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except _Damaged as error:
        set_aside(path, str(error))
        return None
    if listed := differences(json.loads(content["identity"]), json.loads(json.dumps(identity))):
        raise ConfigError(f"{path}: belongs to another trial: {'; '.join(listed)}; choose another folder")
    state: dict[str, Any] = content["state"]
    return state


class _Damaged(Exception):
    """A checkpoint that cannot be trusted; the message says why."""


def _read(path: Path) -> dict[str, Any]:
    """Read a checkpoint once its checksums match: torch.load ignores them, and would read flipped bits as weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            if bad := archive.testzip():
                raise _Damaged(f"checksum of {bad} does not match")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        KeyError,
        ValueError,
        zlib.error,
    ) as error:
        raise _Damaged(" ".join(str(error).split())[:200] or type(error).__name__) from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise _Damaged(f"is not a checkpoint of schema {SCHEMA}")
    return content


def differences(kept: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """What differs between the configuration in a folder and the one asked for, as text: one item a key."""
    return [
        f"{key} is {kept.get(key)!r} there and {asked.get(key)!r} here"
        for key in dict.fromkeys((*kept, *asked))
        if kept.get(key) != asked.get(key)
    ]


class Throttle:
    """Says when to save: at most every `seconds`, and rarer where saving is slow, to stay under MOST_OF_TRAINING."""

    def __init__(self, seconds: float = 2.0) -> None:
        self.interval = seconds
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether the last save was long enough ago."""
        return time.monotonic() - self._last >= self.interval

    def saved(self, cost: float) -> None:
        """Take note that a save ended now and took `cost` seconds."""
        self.interval = max(self.interval, cost / MOST_OF_TRAINING)
        self._last = time.monotonic()
