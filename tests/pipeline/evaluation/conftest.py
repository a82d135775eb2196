"""One evaluation with every part on, made once for all tests of this folder."""

from __future__ import annotations

import pytest
from exact_evaluation import Measured, measured_with_every_part


@pytest.fixture(scope="session")
def measured() -> Measured:
    return measured_with_every_part()
