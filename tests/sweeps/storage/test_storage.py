"""Sweeps whose trials live in a storage: through a real S3 protocol on the loopback, and on a mounted disk."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_trial
import pandas as pd
import pytest
import ray.cloudpickle
from pyarrow import fs
from rich.console import Console

from pipeline.config import ConfigError
from sweeps.running.ray_session import local_ray
from sweeps.running.sweep import Setting, Sweep
from sweeps.specification.reading import parse
from sweeps.specification.spec import Resources, SweepSpec
from sweeps.storage import storage as storage_module
from sweeps.storage.mirror import Mirror
from sweeps.storage.storage import Storage, StorageError, reason
from sweeps.storage.sweep_copy import SweepCopy, make_room
from sweeps.storage.workplace import NotSharedError, workplace

# Ray leaves sockets and files to the garbage collector when it shuts down, and Tune warns about its own future.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray"),
]

SECRET = "a-secret-that-nobody-may-see"
TREE: dict[str, Any] = {
    "base": {"training": {"epochs": 2}, "replicates": 2},
    "factors": {"model.latent_dim": [2, 8]},
    "space": {"training.learning_rate": {"float": [1e-4, 1e-2], "log": True}},
    "search": {"trials": 2, "window": 2},
    "tracking": {"wandb": "disabled"},
}
COLUMNS = ["trial", "phase", "status", "config_hash", "first_replicate", "validation.elbo", "test.elbo"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """`HOST:PORT` of an S3 server with the bucket `bucket`, and credentials for it in the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keep = dict(os.environ)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "the server did not start"
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.1)
        system = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}", scheme="http", region="us-east-1", allow_bucket_creation=True
        )
        system.create_dir("bucket")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)
        os.environ.clear()
        os.environ.update(keep)


@pytest.fixture(params=["s3", "file"])
def url(request: pytest.FixtureRequest, server: str, tmp_path: Path) -> str:
    """An empty folder of its own, in a bucket or on a disk."""
    if request.param == "s3":
        return f"s3://bucket/{tmp_path.name}?endpoint_override={server}&scheme=http"
    return (tmp_path / "nfs").as_uri()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "PAUSES", (0.01, 0.01))


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


# --- sweeps ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def one_ray(server: str) -> Iterator[None]:
    """Started after the credentials are in the environment, which the workers inherit."""
    ray.cloudpickle.register_pickle_by_value(fake_trial)
    with local_ray(Resources(workers=1)):
        yield
    ray.cloudpickle.unregister_pickle_by_value(fake_trial)


def specification(name: str, **parts: Any) -> SweepSpec:
    return parse({"name": name, **TREE, **parts})


def setting(runs_dir: Path, **parts: Any) -> Setting:
    quiet = Console(quiet=True)
    return Setting(runs_dir, workers=1, function=fake_trial.run_trial, console=quiet, **parts)


def trials(runs_dir: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(runs_dir / name / "trials.parquet")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("runs")
    assert Sweep(specification("plain"), setting(folder)).run() == 0
    return trials(folder, "plain")


def test_the_table_is_the_same_with_a_storage_and_the_sweep_goes_on_elsewhere(
    url: str, tmp_path: Path, reference: pd.DataFrame
) -> None:
    """The first machine is gone: what its storage holds is three finished trials and one that was running."""
    spec = specification("kept")
    assert Sweep(spec, setting(tmp_path / "one", storage=url)).run() == 0
    pd.testing.assert_frame_equal(trials(tmp_path / "one", "kept")[COLUMNS], reference[COLUMNS], check_exact=True)
    with pytest.raises(ConfigError, match="exists: say `elbosweep resume kept`, or --force"):
        Sweep(spec, setting(tmp_path / "two", storage=url)).run()
    assert not (tmp_path / "two" / "kept").exists()
    folder = Storage.parse(url) / "kept" / "trials" / "0003"
    folder.delete("result.json")
    folder.write("epoch.json", b'{"epoch": 1}')
    folder.write("trial.json", (folder.read("trial.json") or b"").replace(b'"finished"', b'"running"'))
    assert Sweep.resume("kept", setting(tmp_path / "two", storage=url)) == 0
    pd.testing.assert_frame_equal(trials(tmp_path / "two", "kept")[COLUMNS], reference[COLUMNS], check_exact=True)
    assert starts(tmp_path / "two" / "kept") == [[1], [1], [1], [1, 2]], "only the running one, from its checkpoint"
    written = [path.read_text(errors="replace") for path in (tmp_path / "two").rglob("*") if path.is_file()]
    assert SECRET not in "".join(written)
    # Back on the first machine, the record of the second, which is the later one, is taken over.
    SweepCopy(tmp_path / "one" / "kept", Storage.parse(url) / "kept").catch_up()
    assert starts(tmp_path / "one" / "kept") == [[1], [1], [1], [1, 2]]
    pairs = [(tmp_path / machine / "kept" / "sweep.json").read_bytes() for machine in ("one", "two")]
    assert pairs[0] == pairs[1]


def starts(folder: Path) -> list[list[int]]:
    """By trial, the first epoch of each of its starts."""
    return [
        [json.loads(line)["first"] for line in path.read_text().splitlines()]
        for path in sorted(folder.glob("trials/*/starts.jsonl"))
    ]


@pytest.mark.parametrize("force", [False, True])
def test_a_new_sweep_finds_nothing_of_an_older_one(url: str, force: bool) -> None:
    storage = Storage.parse(url) / "again"
    storage.write("spec.yaml", b"name: again")
    storage.write("trials/0003/training.pt", b"weights")
    if force:
        make_room(storage, "again", force=True)
        assert storage.files() == {}
    else:
        with pytest.raises(ConfigError, match="exists: say `elbosweep resume again`, or --force to replace it"):
            make_room(storage, "again", force=False)
        assert len(storage.files()) == 2


def test_no_such_sweep_in_the_storage(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such sweep, got 'nothing'"):
        Sweep.resume("nothing", setting(tmp_path, storage=url))
    assert not (tmp_path / "nothing").exists()


@pytest.mark.usefixtures("impatient")
def test_a_copy_that_cannot_be_written_is_said_once_and_the_sweep_goes_on(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "spec.yaml").write_text("name: x")
    copy, said = SweepCopy(tmp_path / "here", Storage.parse(str(tmp_path / "there"))), list[str]()

    def refused(self: Storage, name: str, content: bytes) -> None:
        raise OSError("connection reset")

    monkeypatch.setattr(Storage, "_write", refused)
    copy.push(said.append)
    copy.push(said.append)
    assert len(said) == 1
    assert "spec.yaml could not be written: connection reset; the copy is behind" in said[0]
