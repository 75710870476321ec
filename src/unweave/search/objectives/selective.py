"""Sub-architectures that say yes to their class and no to the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from unweave.search.objectives.base import Objective
from unweave.search.objectives.class_terms import margin

_NEAR = 0.1


@dataclass(frozen=True)
class Selective(Objective):
    """ICCV Eq. 12 with both halves, on binary gates, images of other classes shown too:

        L = mean_{x of c} [ softplus(-m) + F ] + mean_{x of others} [ softplus(m) + F ] + beta/n * sum_i mean_c gate_i
        m = z_c - logsumexp_{k != c} z_k,      F = H((z~_c - z_c) / (1 + |z_c|))

    `softplus(-m) = -log p_c`, `softplus(m) = -log(1 - p_c)`; `z~_c` and `z_c`: the class's own score of the gated and
    of the untouched network; `H(d) = |d| - 0.05`, and `5 d^2` below 0.1: at the start, where all gates are open, the
    difference is nothing but rounding, whose sign must not decide. `F`, the score's reconstruction, keeps channels that
    hold the class back, or speak for it where it is sure already (left out with `reconstruction=False`). Gates are 1
    where the score is above 0, else 0, with the gradient of `sigmoid(score)`: what is learned is what the mask does.
    The search begins with all that reaches the class's score. `beta` is what closing every channel saves: one of a site
    with `C` channels is worth keeping if what hangs on it is more than `beta / (n C)`. As masks
    are what is optimised, steps must become short: from pass to pass along half a cosine, from the rate to nearly 0.
    """

    name: ClassVar[str] = "selective"
    source: ClassVar[str] = "ours, after ICCV Eq. 12"
    shows_others: ClassVar[bool] = True
    binary: ClassVar[bool] = True
    reads_activations: ClassVar[bool] = False
    tells_size: ClassVar[bool] = True
    default_beta: ClassVar[float | None] = 1.0
    start: ClassVar[tuple[float, float]] = (0.5, 0.1)
    default_start: ClassVar[Literal["random", "attribution"]] = "attribution"

    def class_term(self, scores: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        return functional.softplus(-margin(scores, labels)) + self._score_error(scores, reference, labels)

    def others_term(self, scores: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        return functional.softplus(margin(scores, labels)) + self._score_error(scores, reference, labels)

    def rate_share(self, done: float) -> float:
        return (1 + math.cos(math.pi * done)) / 2

    def penalty_scale(self, sites: int) -> float:
        return 1.0 / sites

    def gate_term(self, gate: Tensor) -> Tensor:
        return self.beta * gate.mean(1)

    def _score_error(self, scores: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        gated, untouched = (table.gather(1, labels[:, None])[:, 0] for table in (scores, reference))
        relative = (gated - untouched) / (1 + untouched.abs())
        error = functional.smooth_l1_loss(relative, torch.zeros_like(relative), reduction="none", beta=_NEAR)
        return float(self.reconstruction) * error
