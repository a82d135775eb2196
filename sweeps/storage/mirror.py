"""A folder and its copy in a storage, kept the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.files import write_atomic
from pipeline.layout import RESULT
from sweeps.storage.storage import Storage

AT_ONCE = 8
Stamp = tuple[int, int]
"""Size and time of change of a local file."""


@dataclass
class Mirror:
    """A local folder and its copy in the storage; only what changed is copied."""

    local: Path
    remote: Storage
    pushes: Callable[[str], bool] = lambda name: True
    """Which files this side writes: only those are pushed."""
    _seen: dict[str, Stamp] = field(default_factory=dict)
    """Pushed or pulled files, as they were then."""

    def pull(
        self, want: Callable[[str, int], bool] = lambda name, size: True, *, listed: dict[str, int] | None = None
    ) -> int:
        """Bring the files here that `want(name, size there)`; gives back how many."""
        stored = self.remote.files() if listed is None else listed
        return _in_order(
            self._pull, [name for name, size in stored.items() if not _temporary(name) and want(name, size)]
        )

    def _pull(self, name: str) -> None:
        content = self.remote.insist(lambda: self.remote.read(name), f"{name} could not be read")
        if content is None:
            return
        path = self.local / name
        write_atomic(path, lambda file: file.write(content))
        self._seen[name] = _stamp(path)

    def push(self) -> int:
        """Bring what changed here to the storage, and delete there what was deleted here; gives back how many."""
        stamps = {name: stamp for name, stamp in self._local_files() if self.pushes(name)}

        def push(name: str) -> None:
            with suppress(FileNotFoundError):
                self.remote.write(name, (self.local / name).read_bytes())
                self._seen[name] = stamps[name]

        def delete(name: str) -> None:
            self.remote.insist(lambda: self.remote.delete(name), f"{name} could not be deleted")
            del self._seen[name]

        pushed = _in_order(push, [name for name, stamp in stamps.items() if self._seen.get(name) != stamp])
        # After the result: a checkpoint goes only when it is not needed any more.
        return pushed + _in_order(delete, [name for name in self._seen if name not in stamps and self.pushes(name)])

    def _local_files(self) -> list[tuple[str, Stamp]]:
        files = []
        for folder, _, names in os.walk(self.local):
            for name in names:
                path = Path(folder, name)
                relative = path.relative_to(self.local).as_posix()
                if _temporary(relative) or path.is_symlink():
                    continue
                try:
                    files.append((relative, _stamp(path)))
                except FileNotFoundError:
                    continue
        return files


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _temporary(name: str) -> bool:
    """A lock, a probe, or a file that is being written."""
    return name.rpartition("/")[2].startswith(".")


def _in_order(action: Callable[[str], None], names: list[str]) -> int:
    """Several files at a time, a result when all others are done: its presence means that a trial is finished."""
    results = [name for name in names if name.rpartition("/")[2] == RESULT]
    others = [name for name in names if name not in set(results)]
    for part in (others, results):
        if len(part) == 1:
            action(part[0])
        elif part:
            with ThreadPoolExecutor(min(AT_ONCE, len(part))) as pool:
                list(pool.map(action, part))
    return len(names)
