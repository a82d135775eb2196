"""Labels and places of what comes in kinds are the schema's; what it does not list is shown all the same."""

from __future__ import annotations

import pytest

from analysis import tables
from analysis.figures import styles, theme
from analysis.tables.kinds import GRADIENT_ESTIMATOR, KL_ESTIMATOR, QUANTITY, SAMPLING, labels, places
from analysis.wording import label

KINDS = sorted(tables.schema()["kinds"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_names_with_labels_that_differ(kind: str) -> None:
    entries = tables.schema()["kinds"][kind]
    assert list(labels(kind)) == [entry["name"] for entry in entries]
    assert len(set(labels(kind).values())) == len(entries) == len(labels(kind)) > 0
    assert [label(entry["name"], kind) for entry in entries] == [entry["label"] for entry in entries]
    assert places(kind, list(reversed(labels(kind)))) == list(reversed(range(len(entries))))


def test_the_kinds_that_pages_ask_for_are_there() -> None:
    assert {KL_ESTIMATOR, GRADIENT_ESTIMATOR, SAMPLING, QUANTITY} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_one_has_its_name_and_the_next_place(kind: str) -> None:
    first, size = next(iter(labels(kind))), len(labels(kind))
    assert label("not_in_the_file", kind) == "not_in_the_file"
    assert places(kind, ["not_in_the_file", first, "another", "not_in_the_file"]) == [size, 0, size + 1, size]


def test_one_of_a_kind_keeps_its_colour_whatever_is_drawn_beside_it() -> None:
    names = list(labels(KL_ESTIMATOR))
    alone = [styles([(name, 1)], KL_ESTIMATOR)[(name, 1)]["color"] for name in names]
    together = styles([(name, 1) for name in reversed(names)], KL_ESTIMATOR)
    assert alone == [together[(name, 1)]["color"] for name in names] == theme.colours(names, KL_ESTIMATOR)
    assert len(set(alone)) == len(names)
    assert styles([("brand_new", 1)], KL_ESTIMATOR)[("brand_new", 1)]["color"] == theme.COLOURS[len(names)]
