"""What is said to have a closed form is what torch.distributions knows, for all that a configuration can choose."""

from __future__ import annotations

import pytest
from conformance.kl_estimators import PAIRS, choices, pair

from pipeline.model.draws import closed_entropy, closed_kl
from pipeline.probability.closed_forms import (
    CLOSED_FORM_ENTROPY,
    CLOSED_FORM_KL,
    has_closed_form_entropy,
    has_closed_form_kl,
)


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_the_data_are_what_torch_knows(names: tuple[str, str]) -> None:
    posterior, prior = pair(*names).posterior(), pair(*names).vae.prior()
    assert has_closed_form_kl(*names) == (closed_kl(posterior, prior) is not None)
    assert has_closed_form_entropy(names[0]) == (closed_entropy(posterior) is not None)


def test_no_name_is_misspelt() -> None:
    assert {*CLOSED_FORM_KL, *CLOSED_FORM_ENTROPY} <= set(choices("posterior"))
    assert {prior for priors in CLOSED_FORM_KL.values() for prior in priors} <= set(choices("prior"))
