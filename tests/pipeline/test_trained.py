"""The import path of `load_vae` before the rooms says where it went."""

from __future__ import annotations

import importlib

import pytest


def test_the_old_path_names_the_new_one() -> None:
    with pytest.raises(ImportError, match="say `from pipeline.trial import load_vae`"):
        importlib.import_module("pipeline.trained")
    assert callable(importlib.import_module("pipeline.trial").load_vae)
