"""Choosing beta as the ICCV paper's Appendix B does: the elbow of reconstruction error against size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unweave.errors import SettingError

BETAS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""The betas tried by default; the published ones lie between 0.02 and 5."""

REFINEMENTS = 2
"""How often betas between the elbow and its neighbours are tried: the elbow is often sharper than the grid."""


@dataclass(frozen=True)
class Sweep:
    """One search per beta, and what came of it.

    `reconstruction[k]`: how far the gated activations are from the untouched ones with `betas[k]` (the objective's own
    distance, mean over images, sum over sites). `size[k]`: what the penalty weighs, without beta (sum over sites,
    mean over rows). `classes`: the classes searched. `chosen`: the beta at the elbow.
    """

    betas: tuple[float, ...]
    reconstruction: tuple[float, ...]
    size: tuple[float, ...]
    classes: tuple[int, ...]
    chosen: float

    @classmethod
    def read(cls, measured: Mapping[float, tuple[float, float]], classes: tuple[int, ...]) -> Sweep:
        """Find the elbow of `{beta: (reconstruction, size)}`."""
        betas = tuple(sorted(measured))
        reconstruction = tuple(measured[beta][0] for beta in betas)
        size = tuple(measured[beta][1] for beta in betas)
        return cls(betas, reconstruction, size, classes, betas[elbow(reconstruction, size)])


def elbow(reconstruction: Sequence[float], size: Sequence[float]) -> int:
    """Position of the elbow: with both losses scaled to [0, 1], the point farthest below the line between the curve's
    two ends (size small with a large error, size large with a small one).

    Raises
    ------
    SettingError
        With fewer than three points, with values that are not finite, or if no point lies below the line.
    """
    if len(reconstruction) < 3:
        raise SettingError(f"an elbow needs at least three betas, found {len(reconstruction)}")
    if not all(math.isfinite(value) for value in (*reconstruction, *size)):
        raise SettingError("the sweep gave losses that are not finite; give other betas, or beta a number")
    x, y = _scaled(size), _scaled(reconstruction)
    below = (1.0 - x) - y
    best = int(np.argmax(below))
    if below[best] <= 0:
        raise SettingError(
            "reconstruction error against size has no elbow over these betas "
            f"(errors {_rounded(reconstruction)}, sizes {_rounded(size)}); give other betas, or beta a number"
        )
    return best


def between(betas: Sequence[float], position: int) -> list[float]:
    """The geometric means of the beta at `position` with its neighbours (to three digits, none that is there)."""
    neighbours = [betas[p] for p in (position - 1, position + 1) if 0 <= p < len(betas)]
    means = [float(f"{math.sqrt(betas[position] * beta):.3g}") for beta in neighbours]
    return [mean for mean in means if mean not in betas]


def _scaled(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    span = array.max() - array.min()
    return (array - array.min()) / span if span > 0 else np.zeros_like(array)


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.3g}") for value in values]


def sweep_classes(classes: Sequence[int]) -> list[int]:
    """The first 5 % of the classes, at least three (ICCV Appendix B)."""
    return list(classes[: max(3, math.ceil(0.05 * len(classes)))])
