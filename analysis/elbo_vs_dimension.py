"""The bound against the latent dimension, alone: `python -m analysis.elbo_vs_dimension runs/NAME [reports/NAME]`."""

from __future__ import annotations

from analysis.pages.elbo_vs_dimension import page
from analysis.report import script

if __name__ == "__main__":
    raise SystemExit(script(page))
