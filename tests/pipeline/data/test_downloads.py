"""Downloads: missing files say what to put where, a download arrives whole, and nothing waits for ever."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from data_files import write_idx_files

from pipeline.config import ConfigError, DataConfig
from pipeline.data import downloads, images
from pipeline.data.downloads import TorchvisionFiles
from pipeline.data.sources import SOURCES, Torchvision

FILES = {name: source.files for name, source in SOURCES.items() if isinstance(source, Torchvision)}
MNIST = SOURCES["mnist"]
assert isinstance(MNIST, Torchvision)


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx_files(tmp_path, MNIST)
    monkeypatch.setenv("ELBOSWEEP_DATA", str(tmp_path))
    assert len(images.load(DataConfig(name="mnist"), download=False).test) == 5


@pytest.mark.parametrize("variable", [False, True])
def test_a_named_folder_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: bool) -> None:
    monkeypatch.setenv("ELBOSWEEP_DATA", str(tmp_path / "nowhere") if variable else "")
    with pytest.raises(ConfigError, match=r"(--data-dir|ELBOSWEEP_DATA): must be an existing folder, got .*nowhere"):
        images.load(DataConfig(name="mnist"), data_dir=None if variable else tmp_path / "nowhere")


@pytest.mark.parametrize("name", sorted(FILES))
def test_missing_data_without_a_network_say_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(downloads, "urls", lambda files: ["http://127.0.0.1:9/file"])
    with pytest.raises(ConfigError, match="could not be downloaded") as caught:
        images.load(DataConfig(name=name), data_dir=tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path / FILES[name].folder) in message
    assert all(file in message for file in FILES[name].names)
    assert "'digits' needs no download" in message
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_answers_is_given_up_after_the_probes_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(downloads, "urls", lambda files: [f"http://127.0.0.1:{silent.getsockname()[1]}/file"])
        with pytest.raises(ConfigError, match=r"could not be downloaded \(http.*(timed out|no answer within 0\.3 s)"):
            images.load(DataConfig(name="mnist"), data_dir=tmp_path)


def test_a_download_arrives_whole_and_an_interrupted_one_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "out_of_reach", lambda addresses: "")

    def broken(files: TorchvisionFiles, root: Path) -> None:
        write_idx_files(root, MNIST, files=2)
        raise RuntimeError("connection lost")

    monkeypatch.setattr(downloads, "fetch", broken)
    with pytest.raises(ConfigError, match="connection lost"):
        images.load(DataConfig(name="mnist"), data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(downloads, "fetch", lambda files, root: write_idx_files(root, MNIST))
    assert len(images.load(DataConfig(name="mnist"), data_dir=tmp_path).test) == 5
    written = tmp_path / MNIST.files.folder
    assert sorted(path.name for path in written.iterdir()) == sorted(MNIST.files.names)
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


@pytest.mark.parametrize("name", sorted(FILES))
def test_torchvision_offers_every_data_set_that_is_named_here(name: str) -> None:
    assert all(url.startswith("http") for url in downloads.urls(FILES[name]))


def test_torchvision_is_asked_for_every_part_of_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    asked: list[tuple[str, dict[str, object]]] = []
    for name, files in FILES.items():
        monkeypatch.setattr(datasets, files.dataset, lambda root, name=name, **told: asked.append((name, told)))
        downloads.fetch(files, tmp_path)
    assert [(name, {"download": True}) for name in ("mnist", "fashion_mnist", "kmnist")] == asked[:3]
    assert asked[3:] == [
        ("emnist_digits", {"download": True, "split": "digits"}),
        ("omniglot", {"download": True, "background": True}),
        ("omniglot", {"download": True, "background": False}),
    ]
