"""ICCV Eq. 12 and 13 on the gated chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unweave.search.objectives.base import Objective, per_image
from unweave.search.objectives.class_terms import binary_cross_entropy


@dataclass(frozen=True)
class Variational(Objective):
    """ICCV Eq. 14 with Eq. 12 and 13, each layer reading the gated one before it (Eq. 7 without noise):

        L = mean_x [ -log p_c + sum_i ( ||r_i - h_i||^2 + beta ||h_i||^2 ) ]

    Norms sum over channels and positions. In a ReLU network without biases `gate_0 = 1/(1+beta)` and `gate_i = 1` after
    it minimises every site's term at once: the site terms say little about channels, only the class term tells them
    apart.
    """

    every_class: bool = False

    name: ClassVar[str] = "variational"
    source: ClassVar[str] = "ICCV Eq. 12-14"
    has_chain_term: ClassVar[bool] = True

    def class_term(self, scores: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        return binary_cross_entropy(scores, labels, every_class=self.every_class)

    def chain_term(self, gated: Tensor, reference: Tensor) -> Tensor:
        error = float(self.reconstruction) * self.reconstruction_error(gated, reference)
        return error + self.beta * per_image(gated).square().sum(1)

    def chain_slopes(self, gated: Tensor, reference: Tensor) -> tuple[float, float]:
        return 2.0 * (self.reconstruction + self.beta), 2.0 * self.reconstruction

    def size(self, gate: Tensor, gated: Tensor) -> Tensor:
        return per_image(gated).square().sum(1).mean()
