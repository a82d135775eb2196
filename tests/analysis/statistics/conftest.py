"""One synthetic sweep that the tests of the statistics share; none of them changes it."""

from __future__ import annotations

import pandas as pd
import pytest
import synthetic

from analysis import tables


@pytest.fixture(scope="package")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tables.Sweep:
    folder = tmp_path_factory.mktemp("runs") / "synthetic"
    return tables.load(synthetic.write(folder, replicates=5, failed=1, stopped=2, suspect=1, pictures=False))


@pytest.fixture(scope="package")
def replicates(sweep: tables.Sweep) -> pd.DataFrame:
    return tables.joined(sweep)
