"""What a search has to say about its result besides the result."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from unweave.data.damage import warn_of_damage as warn_of_damage  # noqa: PLC0414 - said by searches too
from unweave.errors import FewStepsWarning
from unweave.network.sites import Sites
from unweave.search.objectives.base import Objective
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


def warn_of_few_steps(plan: Plan, made: np.ndarray, sites: Sites, objective: Objective, *, random: bool) -> None:
    """Steps are normalised: `made` of them, spread over the passes, move a site's scores by `rate * mean over passes of
    rate_share * made` at most. Scores start at length `sqrt(channels)` where a method gave them (deviation 1), at
    `sqrt(channels (mean^2 + deviation^2))` where they are `random`."""
    widest = max(sites, key=lambda site: site.channels)
    mean, deviation = objective.start if random else (0.0, 1.0)
    start = (widest.channels * (mean**2 + deviation**2)) ** 0.5
    share = sum(objective.rate_share(number / plan.passes) for number in range(plan.passes)) / plan.passes
    length = plan.rate * share
    short = [int(steps) for steps in made if 0 < steps * length < start]
    if not short:
        return
    still = "the random start" if random else "what the search began with"
    warnings.warn(
        f"{len(short)} of {len(made)} classes made so few steps (from {min(short)} of {length:.3g}) that scores moved "
        f"by at most {min(short) * length:.3g}, while those of {widest.name!r} start at length "
        f"{start:.3g}: their masks are still mostly {still}; raise passes, rate or images a class",
        FewStepsWarning,
        stacklevel=2,
    )
