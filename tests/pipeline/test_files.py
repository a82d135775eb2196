"""Files that are written whole or not at all, and how damage to JSON and JSON lines is told."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from pipeline.config import ConfigError
from pipeline.files import full_disk, read_json, read_rows, set_aside, write_atomic, write_json, write_rows, write_text


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "files" / "training.pt"
    write_text(path, "the old content")
    return path


def test_an_interrupted_write_leaves_the_old_file(path):
    before = path.read_bytes()

    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, interrupted)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["training.pt"]


def test_a_full_disk_is_told_in_one_line(path):
    def full(file):
        raise OSError(28, "No space left on device")

    with pytest.raises(ConfigError, match=r"training\.pt: cannot be written: No space left on device"):
        write_atomic(path, full)
    assert [file.name for file in path.parent.iterdir()] == ["training.pt"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"file: must be a folder that can be written: (File exists|Not a directory)"):
        write_text(tmp_path / "file" / "config.yaml", "x")


def test_rows_are_one_json_object_a_line_and_hold_no_nan(tmp_path):
    rows = [{"a": 1.5, "b": None, "c": [1, float("inf")]}, {"a": float("nan"), "b": "x", "c": []}]
    write_rows(tmp_path / "rows.jsonl", rows)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"a": 1.5, "b": None, "c": [1, None]},
        {"a": None, "b": "x", "c": []},
    ]


def test_files_obey_the_umask(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").write_text("x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_a_number_that_is_not_finite_becomes_null_at_any_depth(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1.5, float("nan")], "b": {"c": float("inf")}, "d": (1, 2)})
    assert read_json(tmp_path / "a.json") == {"a": [1.5, None], "b": {"c": None}, "d": [1, 2]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is damaged: not valid JSON"),
        ("[1]", "is damaged: must hold a JSON object, got list"),
    ],
)
def test_a_damaged_json_file_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(ConfigError, match=rf"a\.json: {message}"):
        read_json(tmp_path / "a.json")


def test_a_torn_last_row_is_left_out_and_other_damage_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert list(read_rows(path)) == []
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": 3')
    assert list(read_rows(path)) == [{"a": 1}, {"a": 2}]
    path.write_text('{"a": 1}\n{"a"\n{"a": 3}\n')
    with pytest.raises(ConfigError, match=r"rows\.jsonl: line 2 is damaged"):
        list(read_rows(path))


def test_a_damaged_file_is_set_aside_beside_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.json").write_text("{")
    set_aside(tmp_path / "a.json", "cut short")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json.damaged"]
    assert "is damaged (cut short): set aside as a.json.damaged" in caplog.text


def test_a_full_disk_is_found_behind_other_errors() -> None:
    def fail() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/full/file")
        except OSError as error:
            raise ConfigError("cannot be written") from error

    with pytest.raises(ConfigError) as caught:
        fail()
    assert full_disk(caught.value) == "/full/file"
    assert full_disk(ValueError("something else")) is None
    assert full_disk(None) is None
