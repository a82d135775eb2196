"""What one trial will do, and how it ended."""

from __future__ import annotations

from sweeps.search.plan import Outcome


def test_not_finite_is_not_usable() -> None:
    assert Outcome("finished", -1.0).usable
    assert not Outcome("finished", float("nan")).usable
    assert not Outcome("finished", None).usable
    assert not Outcome("failed", -1.0).usable
