"""Shapes and types of the science core are checked at run time, in tests only; CI does not accept a skipped test."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
import torch
from jaxtyping import install_import_hook

CHECKED = ("pipeline.probability", "pipeline.model", "pipeline.training.objectives")
install_import_hook(list(CHECKED), "beartype.beartype")

# The tests' tensors are small: threads cost more than they bring, and sums must not depend on the machine's cores.
torch.set_num_threads(1)

FORBID_SKIPS = bool(os.environ.get("ELBOSWEEP_FORBID_SKIPS"))
LEGITIMATE = ("CUDA", "strace", "root can write anywhere")
"""A skip whose reason names one of these is a matter of the machine, not of the project."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse_skip((yield))


def _refuse_skip(report: Any) -> Any:
    """With ELBOSWEEP_FORBID_SKIPS, a test that should have run and did not has failed."""
    if FORBID_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(word in reason for word in LEGITIMATE):
            report.outcome = "failed"
            report.longrepr = f"skipped where it must run: {reason}"
    return report
