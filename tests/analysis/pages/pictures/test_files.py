"""Picture files in the order of their epoch; a file that is none is left out."""

from __future__ import annotations

from pathlib import Path

from report_pages import sweep

from analysis.pages.pictures.files import of_trial


def test_pictures_in_order_of_their_epoch(run: Path) -> None:
    names = [path.stem for path in of_trial(run, 0)]
    assert names[:3] == ["samples_epoch_0000", "samples_epoch_0005", "samples_final"]


def test_a_file_that_is_no_picture_is_left_out(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    folder = data.folder / "trials" / "0000" / "pictures"
    (folder / "samples_final.png").write_bytes(b"<svg onload=alert(1)>")
    assert "samples_final" not in [path.stem for path in of_trial(data.folder, 0)]
