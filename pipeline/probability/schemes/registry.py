"""Every sampling scheme, by the name that a configuration says, in the order of tables and legends."""

from __future__ import annotations

from pipeline.probability.names import SCHEME_NAMES, find_kinds
from pipeline.probability.schemes.scheme import SamplingScheme

SCHEMES = find_kinds("pipeline.probability.schemes", SCHEME_NAMES, SamplingScheme)
