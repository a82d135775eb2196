"""`python -m analysis`: one page or all, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from html_reader import read
from report_pages import NOTHING, sweep

from analysis.__main__ import main


def test_one_page_as_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = sweep(tmp_path, **NOTHING)
    assert main(["mc_variance", str(data.folder), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "no variance study" in said
    reader = read((tmp_path / "out" / "mc_variance.html").read_text(encoding="utf-8"))
    assert reader.all("section", "id") == ["mc-variance"]


def test_a_program_without_tables_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mc_variance", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_whole_report_as_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = sweep(tmp_path, failed=10**6)
    assert main(["report", str(data.folder), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'index.html'}\n"
    assert (tmp_path / "out" / "report.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such_page", "runs/x"], "argument page: invalid choice: 'no_such_page'"),
        ([], "the following arguments are required: page, run"),
        (["report", "runs/x", "reports/x", "more"], "unrecognized arguments: more"),
    ],
)
def test_a_wrong_argument_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = sweep(tmp_path, **NOTHING)
    (tmp_path / "out").write_text("a file, not a folder")
    assert main(["mc_variance", str(data.folder), str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "out: cannot be written" in message
    assert message.count("\n") == 1
