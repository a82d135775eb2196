"""Documents whose examples run: files and changes are taken from their code blocks into a copy of the project.

A block of code in a document is one of four things:

- `python` or `yaml` whose first line is a comment with a path: a new file.
- `diff` that begins with `--- PATH` and `+++ PATH`: a change of an existing file. Unchanged lines say where.
- `bash`: commands, run in the copy; `elbosweep` and `make` are the copy's own.
- `python` without a path: a program, run in the copy.

Anything else (`text`, `yaml` without a path) is there to be read.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.documents.architecture import ROOT

COPIED = ("pipeline", "sweeps", "analysis", "tests", "pyproject.toml", "Makefile", "README.md", "docs")
SECONDS = 500.0
"""After which a command hangs: a sweep takes minutes where other tests have the processors."""


@dataclass(frozen=True)
class Block:
    """One block of code in a document."""

    language: str
    text: str

    @property
    def new_file(self) -> str | None:
        """Path of the file that the block is; None where it is none."""
        match = re.match(r"# (\S+/\S+\.(py|yaml))\n", self.text)
        return match[1] if match and self.language in ("python", "yaml") else None

    @property
    def changed_file(self) -> str | None:
        """Path of the file that the block changes."""
        match = re.match(r"--- (\S+)\n\+\+\+ (\S+)\n", self.text)
        return match[1] if match and self.language == "diff" else None

    @property
    def added_lines(self) -> int:
        """Lines of code that following the block adds; the comment with the path, and empty lines, are none."""
        if self.new_file:
            return sum(bool(line.strip()) for line in self.text.splitlines()[1:])
        return sum(line.startswith("+") for line in self.text.splitlines()[2:]) if self.changed_file else 0


def sections(path: Path) -> dict[str, list[Block]]:
    """Heading of the second level -> the blocks of code below it."""
    parts = re.split(r"^## (.*)\n", path.read_text(encoding="utf-8"), flags=re.M)
    return {
        title: [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.M | re.S)]
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def copy_project(folder: Path) -> Path:
    """A copy of the working tree, as far as the examples need it."""
    ignored = shutil.ignore_patterns("__pycache__", "*.png", "runs", "reports")
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree(source, folder / name, ignore=ignored) if source.is_dir() else shutil.copy2(source, folder))
    return folder


def follow(blocks: list[Block], folder: Path) -> None:
    """Write the new files and make the changes of a section, as a reader would.

    Raises:
        ValueError: a new file exists, or the unchanged lines of a change do not stand in its file exactly once.
    """
    for block in blocks:
        if block.new_file:
            path = folder / block.new_file
            if path.exists():
                raise ValueError(f"{block.new_file}: is called new, and exists")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text.partition("\n")[2].lstrip("\n"), encoding="utf-8")
        elif block.changed_file:
            path = folder / block.changed_file
            path.write_text(_changed(path.read_text(encoding="utf-8"), block), encoding="utf-8")


def _changed(text: str, block: Block) -> str:
    body = block.text.split("\n", 2)[2]
    for hunk in re.split(r"^@@.*\n", body, flags=re.M):
        lines = hunk.splitlines(keepends=True)
        if not lines:
            continue
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        if text.count(before) != 1:
            raise ValueError(f"{block.changed_file}: must hold these lines once, got {text.count(before)}:\n{before}")
        text = text.replace(before, after)
    return text


def run(blocks: list[Block], folder: Path) -> str:
    """Run the commands and programs of a section in the copy; gives back what they print.

    Raises:
        RuntimeError: a command fails, or takes too long; the message holds all that it printed.
    """
    # Of a test that logged to W&B in this process a service may be named here that is gone by now.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    environment = {**kept, "PYTHONPATH": str(folder.resolve())}
    return "".join(_printed(words, folder, environment) for words in _commands(blocks))


def _printed(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(words, cwd=folder, env=environment, start_new_session=True, **output)  # type: ignore[call-overload]
    try:
        printed: str = process.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # Ray's processes too
        printed = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"{shlex.join(words)}: exit code {process.returncode}:\n{printed}")
    return printed


def _commands(blocks: list[Block]) -> Iterator[list[str]]:
    for block in blocks:
        if block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                if words := shlex.split(line, comments=True):
                    yield _command(words)
        elif block.language == "python" and not block.new_file:
            yield [sys.executable, "-c", block.text]


def _command(words: list[str]) -> list[str]:
    """The copy's own program for what a reader types."""
    if words[0] == "elbosweep":
        return [sys.executable, "-m", "sweeps.cli.main", *words[1:]]
    if words[:2] == ["make", "test"]:
        arguments = dict(word.split("=", 1) for word in words[2:])
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *shlex.split(arguments.get("ARGS", ""))]
    if words == ["make", "schema"]:
        return [sys.executable, "-m", "pipeline.schema"]
    if words[0] == "python":
        return [sys.executable, *words[1:]]
    raise ValueError(f"{shlex.join(words)}: is not a command that examples may use")
