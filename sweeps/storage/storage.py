"""A sweep in object storage or on a mounted disk: folders copied file by file through pyarrow's file systems.

URL/NAME/spec.yaml, sweep.json, study.journal, *.parquet, wandb/, trials/0000/trial.json    pushed by the driver
URL/NAME/trials/0000/...                                                                     pushed by its worker

Every file has one writer, and arrives whole or not at all. Credentials are the file system's own business (the
environment, the machine's role): a URL that holds some is refused, and none is ever written or shown.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pyarrow import ArrowException, fs

from pipeline.config import ConfigError
from pipeline.files import write_atomic

log = logging.getLogger(__name__)

SCHEMES = ("s3", "gs", "gcs", "file")
PARAMETERS = ("endpoint_override", "scheme", "region", "retry_limit_seconds")
"""What a URL may say beside the place; pyarrow knows others, but credentials do not belong into a specification."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts at a file, beyond the attempts that the file system's own client makes."""
FAMILIAR = {
    "NO_SUCH_BUCKET": "there is no such bucket",
    "ACCESS_DENIED": "access is denied",
    "INVALID_ACCESS_KEY_ID": "the credentials are not known there",
    "SIGNATURE_DOES_NOT_MATCH": "the credentials are wrong",
    "NETWORK_CONNECTION": "the server cannot be reached",
}

T = TypeVar("T")
ERRORS = (OSError, ArrowException)
"""What a storage raises that does not answer as it should."""


class StorageError(RuntimeError):
    """The storage did not take or give a file, however often it was asked."""


@dataclass(frozen=True)
class Storage:
    """A folder somewhere else, by its URL alone: it travels to workers, which connect with their own credentials."""

    url: str

    @classmethod
    def parse(cls, url: str) -> Storage:
        """A checked URL; nothing is connected.

        Raises:
            ConfigError: it is no absolute path and no URL of a known kind, or holds credentials.
        """
        if url.startswith("/"):
            return cls(url.rstrip("/") or "/")
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ConfigError(f"storage: must be s3://, gs://, file:/// or an absolute path, got {_public(url)!r}")
        if "@" in parts.netloc:
            raise ConfigError("storage: must not hold credentials: set them in the environment of driver and workers")
        for name, _ in parse_qsl(parts.query, keep_blank_values=True):
            if name not in PARAMETERS:
                raise ConfigError(f"storage: parameter must be one of {', '.join(PARAMETERS)}, got {name!r}")
        if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
            raise ConfigError(f"storage: a file URL needs an absolute path, file:///folder, got {url!r}")
        if parts.scheme != "file" and not parts.netloc:
            raise ConfigError(f"storage: needs a bucket, {parts.scheme}://BUCKET/PATH, got {url!r}")
        return cls(urlunsplit(parts._replace(path=parts.path.rstrip("/") or ("/" if parts.scheme == "file" else ""))))

    def __truediv__(self, name: str) -> Storage:
        if self.url.startswith("/"):
            return Storage(f"{self.url.rstrip('/')}/{name}")
        parts = urlsplit(self.url)
        return Storage(urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}")))

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        url = self.url
        parts = urlsplit(url)
        if parts.scheme in ("gs", "gcs"):
            # Its client would go on trying for a quarter of an hour.
            url = urlunsplit(
                parts._replace(query=urlencode({"retry_limit_seconds": "20"} | dict(parse_qsl(parts.query))))
            )
        system, path = fs.FileSystem.from_uri(url)
        return system, path

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}

    def __setstate__(self, state: dict[str, str]) -> None:
        vars(self).update(state)

    @property
    def _local(self) -> bool:
        return isinstance(self._opened[0], fs.LocalFileSystem)

    def check(self) -> None:
        """Write, read and delete a small file.

        Raises:
            ConfigError: says in one line why that does not work.
        """
        name, content = f".probe-{secrets.token_hex(4)}", b"elbosweep"
        try:
            self._write(name, content)
            if self.read(name) != content:
                raise ConfigError(f"storage: {self.url}: does not give back what was written")
            self.delete(name)
        except ERRORS as error:
            raise ConfigError(f"storage: {self.url}: {reason(error)}") from None

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        system, root = self._opened
        try:
            with system.open_input_stream(f"{root}/{name}") as stream:
                content: bytes = stream.read()
                return content
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, whole. Raises StorageError when all attempts fail."""
        self.insist(lambda: self._write(name, content), f"{name} could not be written")

    def _write(self, name: str, content: bytes) -> None:
        system, root = self._opened
        path = f"{root}/{name}"
        if self._local:
            # Object stores show an object when it is complete; on a disk the file gets its name then.
            write_atomic(Path(path), lambda file: file.write(content))
            return
        with system.open_output_stream(path) as stream:
            stream.write(content)

    def delete(self, name: str) -> None:
        system, root = self._opened
        with suppress(FileNotFoundError):
            system.delete_file(f"{root}/{name}")

    def delete_all(self) -> None:
        """The folder itself, with everything in it."""
        system, root = self._opened

        def action() -> None:
            if system.get_file_info(root).type == fs.FileType.Directory:
                system.delete_dir(root)

        self.insist(action, "could not be emptied")

    def files(self, under: str = "") -> dict[str, int]:
        """Names of all files, relative to the folder, with their sizes."""
        system, root = self._opened
        start = f"{root}/{under}".rstrip("/")

        def look() -> dict[str, int]:
            infos = system.get_file_info(fs.FileSelector(start, recursive=True, allow_not_found=True))
            return {info.path[len(root) + 1 :]: info.size for info in infos if info.type == fs.FileType.File}

        return self.insist(look, "could not be listed")

    def insist(self, action: Callable[[], T], what: str) -> T:
        """Try again after a pause: a storage far away is sometimes busy."""
        for pause in (*PAUSES, None):
            try:
                return action()
            except (*ERRORS, ConfigError) as error:
                if pause is None:
                    raise StorageError(f"storage: {self.url}: {what}: {reason(error)}") from None
                time.sleep(pause)
        raise AssertionError


def reason(error: Exception) -> str:
    """One line without secrets: what the file system said is long, and may repeat what it was given."""
    text = " ".join(str(error).split())
    if code := re.search(r"AWS Error (\w+)", text):
        return FAMILIAR.get(code[1], code[1].lower().replace("_", " "))
    text = re.sub(r"^\[Errno \d+\] ", "", text)
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search("KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL", name):
            text = text.replace(value, "...")
    return text[:200] or type(error).__name__


def _public(url: str) -> str:
    """A URL to show: whatever stands before an @ in it may be a password."""
    return re.sub(r"//[^/]*@", "//...@", url)
