"""The Monte Carlo variance of the estimators, alone: `python -m analysis.mc_variance runs/NAME [reports/NAME]`."""

from __future__ import annotations

from analysis.pages.mc_variance import page
from analysis.report import script

if __name__ == "__main__":
    raise SystemExit(script(page))
