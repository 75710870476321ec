"""ICCV Eq. 7-9 before they are simplified: gates with learned noise."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unweave.search.objectives.base import Objective, per_image
from unweave.search.objectives.class_terms import binary_cross_entropy

_EPSILON = 1e-6


@dataclass(frozen=True)
class VariationalNoise(Objective):
    """ICCV Eq. 7-9 and 12, with `Q(r~ | r) = N(r, I)`:

        L = mean_x [ -log p_c + sum_i sum ( beta/2 ((r s)^2 - log((r s)^2 + 1e-6) + (r mu)^2 - 1)
                                            + 1/2 ((r - mu r)^2 + (r s)^2) ) ]

    `mu = sigmoid(score)`, `s = softplus(spread)`; the sum is over channels and positions of the untouched `r_i`. The
    network runs with gates `mu + noise * s` (Eq. 7), the noise drawn by (seed, class, pass, image, site).

    `printed=True` is Eq. 9 as the paper prints it, with `+ log 2 pi + log (r s)^2` in the second half: its spread part
    is unbounded below for beta < 1 and infinite where ReLU gives 0. It is there to be looked at, with a warning.
    """

    every_class: bool = False
    printed: bool = False

    name: ClassVar[str] = "variational-noise"
    source: ClassVar[str] = "ICCV Eq. 7-9, 12"
    has_local_term: ClassVar[bool] = True
    noisy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.printed:
            warnings.warn(
                "ICCV Eq. 9 as printed is unbounded below for beta < 1 and infinite where an activation is 0",
                stacklevel=3,
            )

    def class_term(self, scores: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        return binary_cross_entropy(scores, labels, every_class=self.every_class)

    def local_term(self, reference: Tensor, gate: Tensor, spread: Tensor | None) -> Tensor:
        assert spread is not None
        power = reference.square()
        noise = power * spread.square()
        logarithm = self._log_variance(power, spread, noise)
        divergence = noise - logarithm + power * gate.square() - 1
        if self.printed:
            likelihood = power * (1 - gate).square() + math.log(2 * math.pi) + logarithm
        else:
            likelihood = power * (1 - gate).square() + noise
        total = self.beta / 2 * divergence + float(self.reconstruction) / 2 * likelihood
        return per_image(total.expand_as(reference)).sum(1)

    def _log_variance(self, power: Tensor, spread: Tensor, noise: Tensor) -> Tensor:
        if not self.printed:
            return torch.log(noise + _EPSILON)
        # log (r s)^2 as a sum, so that the gradient by s stays finite where r is 0 and the value is not
        return torch.log(power) + 2 * torch.log(spread)

    def size(self, gate: Tensor, gated: Tensor) -> Tensor:
        return per_image(gated).square().sum(1).mean()
