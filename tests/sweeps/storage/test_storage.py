"""Sweeps whose trials live in a storage: through a real S3 protocol on the loopback, and on a mounted disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ConfigError
from sweeps.storage.mirror import Mirror
from sweeps.storage.storage import Storage, StorageError, reason
from sweeps.storage.workplace import NotSharedError, workplace

SECRET = "what-nobody-may-see"


# --- URLs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("relative/folder", "must be s3://, gs://, file:/// or an absolute path, got 'relative/folder'"),
        ("http://host/path", "must be s3://, gs://, file:/// or an absolute path"),
        ("s3://", "needs a bucket, s3://BUCKET/PATH"),
        ("file://host/path", "a file URL needs an absolute path"),
        ("s3://bucket/path?secret_key=x", "parameter must be one of endpoint_override, .*, got 'secret_key'"),
    ],
)
def test_a_url_is_checked_before_anything_is_connected(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Storage.parse(url)


@pytest.mark.parametrize("scheme", ["s3", "gs", "ftp"])
def test_credentials_in_a_url_are_refused_and_not_shown(scheme: str) -> None:
    with pytest.raises(ConfigError) as stopped:
        Storage.parse(f"{scheme}://somebody:{SECRET}@bucket/path")
    assert SECRET not in str(stopped.value)


@pytest.mark.parametrize(
    ("url", "below"),
    [
        ("s3://bucket", "s3://bucket/name"),
        ("s3://bucket/a/?region=x", "s3://bucket/a/name?region=x"),
        ("file:///a/b/", "file:///a/b/name"),
        ("/a/b/", "/a/b/name"),
        ("/", "/name"),
    ],
)
def test_a_folder_below_keeps_the_parameters(url: str, below: str) -> None:
    assert (Storage.parse(url) / "name").url == below


def test_reasons_are_one_line_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_ACCESS_KEY", SECRET)
    assert reason(OSError(f"said\n{SECRET}")) == "said ..."
    assert reason(OSError("When x: AWS Error NO_SUCH_BUCKET during y")) == "there is no such bucket"
    assert reason(OSError("When x: AWS Error SLOW_DOWN during y")) == "slow down"


def test_a_wrong_bucket_and_a_wrong_server_are_one_line(server: str) -> None:
    with pytest.raises(ConfigError, match=r"^storage: s3://nowhere/p\?.*: there is no such bucket$"):
        Storage.parse(f"s3://nowhere/p?endpoint_override={server}&scheme=http").check()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_server_that_is_not_there_is_one_line(server: str) -> None:
    with pytest.raises(ConfigError, match="the server cannot be reached"):
        Storage.parse("s3://bucket/p?endpoint_override=127.0.0.1:1&scheme=http").check()


def test_a_disk_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="must be a folder that can be written"):
        Storage.parse(str(tmp_path / "file")).check()


# --- files ----------------------------------------------------------------------------------------------------------


def test_only_what_changed_is_copied(url: str, tmp_path: Path) -> None:
    local, remote = tmp_path / "here", Storage.parse(url) / "name"
    remote.check()
    (local / "sub").mkdir(parents=True)
    (local / "a.txt").write_text("one")
    (local / "sub" / "b.bin").write_bytes(bytes(range(256)) * 100)
    (local / ".lock").write_text("never copied")
    mirror = Mirror(local, remote)
    assert mirror.push() == 2
    assert mirror.push() == 0
    assert remote.files() == {"a.txt": 3, "sub/b.bin": 25600}
    (local / "a.txt").write_text("two")
    (local / "sub" / "b.bin").unlink()
    assert mirror.push() == 2
    assert remote.files() == {"a.txt": 3}
    other = Mirror(tmp_path / "there", remote)
    assert other.pull() == 1
    assert (tmp_path / "there" / "a.txt").read_text() == "two"
    assert other.push() == 0, "what was pulled has not changed"
    remote.delete_all()
    assert remote.files() == {}


def test_the_result_arrives_last_and_the_checkpoint_goes_after_it(tmp_path: Path, monkeypatch: Any) -> None:
    local, remote = tmp_path / "here", Storage.parse(str(tmp_path / "there"))
    local.mkdir()
    mirror = Mirror(local, remote)
    (local / "training.pt").write_text("weights")
    mirror.push()
    done: list[str] = []
    write, delete = Storage.write, Storage.delete
    monkeypatch.setattr(Storage, "write", lambda self, name, content: (done.append(name), write(self, name, content)))
    monkeypatch.setattr(Storage, "delete", lambda self, name: (done.append(f"-{name}"), delete(self, name)))
    (local / "training.pt").unlink()
    for name in ("result.json", "zeta.jsonl", "history.jsonl", "pictures.png"):
        (local / name).write_text(name)
    mirror.push()
    assert sorted(done[:3]) == ["history.jsonl", "pictures.png", "zeta.jsonl"]
    assert done[3:] == ["result.json", "-training.pt"]


@pytest.mark.usefixtures("impatient")
def test_a_storage_that_is_busy_is_asked_again_and_then_given_up(tmp_path: Path, monkeypatch: Any) -> None:
    remote, failures = Storage.parse(str(tmp_path / "there")), [OSError("busy"), OSError("busy")]
    write = Storage._write

    def sometimes(self: Storage, name: str, content: bytes) -> None:
        if failures:
            raise failures.pop()
        write(self, name, content)

    monkeypatch.setattr(Storage, "_write", sometimes)
    remote.write("a", b"x")
    assert remote.read("a") == b"x"
    failures += [OSError("busy")] * 3
    with pytest.raises(StorageError, match=r"storage: .*there: a could not be written: busy"):
        remote.write("a", b"y")


# --- trials ---------------------------------------------------------------------------------------------------------


def test_a_trial_goes_on_from_what_another_node_left(url: str, tmp_path: Path) -> None:
    remote = Storage.parse(url) / "name"
    with workplace(tmp_path, remote, 3) as (folder, keep):
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "training.pt").write_text("epoch 5")
        keep()
        assert remote.read("trials/0003/checkpoints/training.pt") == b"epoch 5"
    assert not folder.exists()
    (remote / "trials" / "0003").write("trial.json", b"the driver's")
    with workplace(tmp_path, remote, 3) as (folder, _):
        assert (folder / "checkpoints" / "training.pt").read_text() == "epoch 5"
        assert not (folder / "trial.json").exists()
        (folder / "result.json").write_text("{}")
        (folder / "checkpoints" / "training.pt").unlink()
    assert (remote / "trials" / "0003").files() == {"result.json": 2, "trial.json": 12}


def test_a_node_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotSharedError, match="not on a disk that this node shares"), workplace(tmp_path, None, 0):
        pass
