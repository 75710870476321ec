"""What a search has to say about its result besides the result."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from unweave.data.damage import warn_of_damage as warn_of_damage  # noqa: PLC0414 - said by searches too
from unweave.errors import FewStepsWarning
from unweave.network.sites import Sites
from unweave.search.plan import Plan


def warn_of_rows_without_steps(names: Sequence[str], steps: np.ndarray) -> None:
    """A class without an image that counts keeps the scores that it started with."""
    never = [name for name, made in zip(names, steps, strict=True) if made == 0]
    if never:
        warnings.warn(
            f"the network classifies no search image of {len(never)} classes correctly ({', '.join(never[:5])}); "
            "their rows stay as the search began",
            stacklevel=2,
        )


def warn_of_few_steps(plan: Plan, made: np.ndarray, sites: Sites) -> None:
    """Scores start at N(0, 1), a vector of length sqrt(channels), and each step moves them by `rate` at most."""
    widest = max(sites, key=lambda site: site.channels)
    start = widest.channels**0.5
    short = [int(steps) for steps in made if 0 < steps * plan.rate < start]
    if short:
        warnings.warn(
            f"{len(short)} of {len(made)} classes made so few steps (from {min(short)} of {plan.rate:g}) that scores "
            f"moved by at most {min(short) * plan.rate:.3g}, while those of {widest.name!r} start at length "
            f"{start:.3g}: their masks are still mostly the random start; raise passes, rate or images a class",
            FewStepsWarning,
            stacklevel=2,
        )
