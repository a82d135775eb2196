"""Checkpoints: whole or not at all, checked when read, refused where they do not belong."""

from __future__ import annotations

import logging
import os

import pytest
import torch

from pipeline.config import ConfigError
from pipeline.trial import checkpoints

IDENTITY = {"model.latent_dim": 8, "training.learning_rate": 1e-3, "model.network.hidden": (256, 256)}


def _state() -> dict[str, object]:
    generator = torch.Generator().manual_seed(0)
    return {
        "weights": {"layer.weight": torch.randn(64, 64, generator=generator)},
        "generator": generator.get_state(),
        "rows": [{"epoch": 0, "train.loss": None, "validation.elbo": -12.5}],
        "best_elbo": -12.5,
    }


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoints" / "training.pt"
    checkpoints.save(path, _state(), IDENTITY)
    return path


def test_what_is_saved_comes_back_with_the_random_stream(path):
    loaded, expected = checkpoints.load(path, IDENTITY), _state()
    assert torch.equal(loaded["weights"]["layer.weight"], expected["weights"]["layer.weight"])
    assert loaded["rows"] == expected["rows"]
    generator = torch.Generator()
    generator.set_state(loaded["generator"])
    reference = torch.Generator()
    reference.set_state(expected["generator"])
    assert torch.equal(torch.randn(5, generator=generator), torch.randn(5, generator=reference))


def test_nothing_saved_is_none(tmp_path):
    assert checkpoints.load(tmp_path / "training.pt", IDENTITY) is None


def _truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip(content: bytes) -> bytes:
    """One bit in the middle of the weights."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [_truncate, _flip, lambda content: b"", lambda content: b"not a checkpoint" * 100])
def test_a_damaged_file_is_named_set_aside_and_not_read(path, damage, caplog):
    content = path.read_bytes()
    path.write_bytes(damage(content))
    with caplog.at_level(logging.WARNING):
        assert checkpoints.load(path, IDENTITY) is None
    assert str(path) in caplog.text
    assert "set aside as training.pt.damaged" in caplog.text
    assert not path.exists()
    assert path.with_name("training.pt.damaged").read_bytes() == damage(content)
    assert checkpoints.load(path, IDENTITY) is None


def test_every_flipped_bit_in_the_weights_is_noticed(tmp_path):
    """torch.load alone reads such a file without a word; the test shows that too, so the check is not idle."""
    path, marker = tmp_path / "training.pt", torch.full((16,), 1.5)
    checkpoints.save(path, {"weights": marker}, IDENTITY)
    content = path.read_bytes()
    place = content.index(marker.numpy().tobytes())
    for offset in range(0, 64, 7):
        path.write_bytes(
            content[: place + offset] + bytes([content[place + offset] ^ 4]) + content[place + offset + 1 :]
        )
        assert not torch.equal(torch.load(path, weights_only=True)["state"]["weights"], marker)
        assert checkpoints.load(path, IDENTITY) is None


def test_a_file_that_would_run_code_is_not_unpickled(tmp_path):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    path = tmp_path / "training.pt"
    torch.save({"schema": 1, "identity": "{}", "state": Harmful()}, path)
    assert checkpoints.load(path, {}) is None
    assert not (tmp_path / "harm").exists()
    assert path.with_name("training.pt.damaged").exists()


def test_a_checkpoint_of_another_configuration_is_refused(path):
    with pytest.raises(ConfigError, match=r"model\.latent_dim is 8 there and 4 here; choose another folder"):
        checkpoints.load(path, IDENTITY | {"model.latent_dim": 4})
    assert path.exists()


def test_saving_keeps_below_its_share_of_the_time(monkeypatch):
    now = 100.0
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now)
    throttle, spent = checkpoints.Throttle(), 0.0
    for _ in range(10_000):
        now += 0.05
        if throttle.due():
            now, spent = now + 0.1, spent + 0.1
            throttle.saved(0.1)
    assert spent < 0.02 * (now - 100)
    assert spent > 0.01 * (now - 100)
