"""No test here reads this machine's data or writes to its cache, except the one that asks for MNIST."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("MNIST_FOR_TESTS", os.environ.get("ELBOSWEEP_DATA", ""))
    monkeypatch.delenv("ELBOSWEEP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
