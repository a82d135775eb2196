"""The kinds in analysis/tables/schema.json are those that `pipeline` registers, with the same labels."""

from __future__ import annotations

import json

import pytest

from tests.documents import kinds

TEXT = kinds.FILE.read_text(encoding="utf-8")


def test_the_schema_lists_what_is_registered() -> None:
    assert kinds.updated(TEXT, kinds.registered()) == TEXT, "schema.json is not current: run `make kinds`"


def test_a_new_kind_comes_last_and_no_other_moves() -> None:
    registered = kinds.registered()
    added = {**registered, "kl.estimator": {"brand_new": "brand new", **registered["kl.estimator"]}}
    updated = kinds.updated(TEXT, added)
    before, after = kinds.listed(TEXT), kinds.listed(updated)
    assert list(after["kl.estimator"].items()) == [*before["kl.estimator"].items(), ("brand_new", "brand new")]
    assert {key: after[key] for key in after if key != "kl.estimator"} == {
        key: before[key] for key in before if key != "kl.estimator"
    }
    assert {**json.loads(updated), "kinds": None} == {**json.loads(TEXT), "kinds": None}


def test_what_is_gone_leaves_and_labels_follow() -> None:
    registered = kinds.registered()
    registered["gradient.estimator"] = {"pathwise": "along the path"}
    assert kinds.listed(kinds.updated(TEXT, registered))["gradient.estimator"] == {"pathwise": "along the path"}


def test_a_file_without_kinds_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold 'kinds' once, got it 0 times"):
        kinds.updated('{"kinds": {}}', {})
