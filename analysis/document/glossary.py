"""The words of a report that need a definition, and links to them from its text: the first on each page."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Term:
    """A word with its definition."""

    anchor: str
    name: str
    text: str
    written: str
    """A regular expression: how the word is written in a sentence."""


TERMS = (
    Term("bound", "bound", "A number that log p(x) of an image is never below, on average over draws: here the ELBO or "
         "the IWAE bound. Higher is better.", r"bounds?"),
    Term("elbo", "ELBO", "Evidence lower bound: the expected log-likelihood of the image under the decoder minus the "
         "KL divergence of the posterior from the prior, in nats per image.", r"ELBO"),
    Term("iwae", "IWAE", "Importance-weighted bound: the logarithm of a mean over K draws of p(x, z) / q(z | x). K = 1 "
         "is the ELBO; a larger K lies closer to log p(x).", r"IWAE"),
    Term("ais", "AIS", "Annealed importance sampling: an estimate of log p(x) along a path from the prior to the "
         "posterior.", r"AIS"),
    Term("nats", "nats", "Units of a natural logarithm: 1 nat is 1.44 bits. Bits per dimension divide by the number of "
         "pixels as well.", r"bits per dimension|nats"),
    Term("kl-estimator", "KL estimator", "How the KL divergence in the bound is computed: in closed form, or from "
         "draws of z (k1, k3, cross-entropy, control variate).", r"KL estimators?"),
    Term("k1", "k1, k3", "Two estimates of the KL from a draw of z with r = p(z) / q(z): k1 = −log r, which may be "
         "negative; k3 = (r − 1) − log r, which may not, but may have no variance.", r"\(?k[13]\)?"),
    Term("d", "D", "The latent dimension: how many numbers z holds (model.latent_dim). D* is the smallest D that is "
         "good enough: within one seed standard deviation of the best.", r"D\*|D(?= =)|latent dimensions?"),
    Term("l", "L", "Draws of z for one image in one estimate of the bound (objective.num_samples): their mean is "
         "taken.", r"L(?= =)"),
    Term("k", "K", "Draws of z inside the logarithm of the IWAE bound (num_importance_samples).", r"K(?= =)"),
    Term("trial", "trial", "One configuration of the sweep, trained with one or several seeds. Its phase says who "
         "asked for it: the design (factorial), the search, refinement, or confirmation.", r"trials?"),
    Term("seed", "seed, replicate", "A replicate is one training of a trial's configuration, from a seed of its own; "
         "trials share their seeds, so that differences can be taken seed by seed.", r"seeds?|replicates?"),
    Term("pooled-interval", "pooled interval", "A 95 % Student interval whose variance is estimated from all "
         "dimensions of a curve together, because three seeds alone know theirs badly.", r"pooled"),
    Term("optimism", "optimism", "The best of many looks better than it is. A number that counts comes from seeds that "
         "had no say in the choice: fresh ones, or each left out in turn.", r"too good|fresh seeds?"),
    Term("holm", "Holm's correction", "p-values of several comparisons, raised so that any false verdict among them "
         "has a probability of at most 5 %.", r"Holm(-adjusted|'s correction)?"),
    Term("no-z", "no z", "A histogram of each pixel, which uses no latent variable: a model below it has learnt "
         "nothing about how pixels go together.", r"histogram( of each pixel| without z)?"),
    Term("ppca", "exact pPCA", "Probabilistic principal component analysis, whose best bound is known exactly: what a "
         "linear model could reach.", r"(exact )?pPCA"),
    Term("active-unit", "active unit", "A latent dimension that the posterior uses: the variance over images of its "
         "mean exceeds 0.01 (Burda and others 2016).", r"active (latent )?units?"),
    Term("gaps", "approximation and amortisation gap", "What the bound loses because the best posterior of the family "
         "is not the true one, and because the encoder does not find that best one.", r"(approximation|amortisation) "
         r"gaps?"),
    Term("pareto-k", "Pareto k", "The tail of the importance weights; above 0.7 an estimate by importance sampling "
         "cannot be relied on (Vehtari and others 2024).", r"Pareto k"),
    Term("ess", "effective draws", "As how many equally weighted draws the weighted ones count.",
         r"effective (number of )?draws|effective sample size"),
    Term("schemes", "i.i.d., antithetic, Sobol", "How draws of z are made: independently, in mirrored pairs, or evenly "
         "spread over the space by a scrambled Sobol sequence.", r"antithetic|(scrambled )?Sobol|i\.i\.d\."),
    Term("snr", "signal-to-noise ratio", "The norm of a gradient's expectation over its standard deviation.",
         r"signal-to-noise( ratio)?"),
    Term("front", "Pareto front", "The trials that no other trial beats in both quantities at once.", r"front"),
    Term("suspect", "suspect", "A trial that finished, but whose own checks say that its numbers may be wrong.",
         r"suspect"),
)  # fmt: skip
"""In the order of a reader who needs them."""


def anchor(term: Term) -> str:
    """The anchor of a definition."""
    return f"term-{term.anchor}"


@cache
def _written() -> re.Pattern[str]:
    """Any of the words, as a whole word."""
    return re.compile("|".join(rf"(?P<t{place}>(?<![\w.*-])(?:{term.written})(?![\w*]))" for place, term in
                               enumerate(TERMS)))  # fmt: skip


def linker() -> Callable[[object], Markup]:
    """A function that escapes text and links each term where it is written first; one a page."""
    seen: set[str] = set()

    def linked(text: object) -> Markup:
        def link(found: re.Match[str]) -> str:
            term = TERMS[int(str(found.lastgroup)[1:])]
            if term.anchor in seen:
                return found.group()
            seen.add(term.anchor)
            return f'<a class="term" href="#{anchor(term)}">{found.group()}</a>'

        return Markup(_written().sub(link, str(escape(text))))

    return linked
