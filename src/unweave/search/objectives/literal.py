"""ICCV Eq. 13 to the letter: the untouched activations, layers that do not see each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unweave.search.objectives.base import Objective, per_image
from unweave.search.objectives.class_terms import binary_cross_entropy


@dataclass(frozen=True)
class Literal(Objective):
    """ICCV Eq. 13 with `r_i` of the untouched network; Eq. 12 on the gated chain:

        L = mean_x [ -log p_c + sum_i ( ||r_i - g_i r_i||^2 + beta ||g_i r_i||^2 ) ]

    The site terms alone have their optimum at `g = 1/(1+beta)` for every live channel of every layer and class:
    `score = -ln beta`, so beta < 1 keeps all and beta > 1 drops all; dead channels are undetermined.
    """

    every_class: bool = False

    name: ClassVar[str] = "literal"
    source: ClassVar[str] = "ICCV Eq. 12-13, read literally"
    has_local_term: ClassVar[bool] = True

    def class_term(self, scores: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        return binary_cross_entropy(scores, labels, every_class=self.every_class)

    def local_term(self, reference: Tensor, gate: Tensor, spread: Tensor | None) -> Tensor:
        weight = float(self.reconstruction) * (1 - gate).square() + self.beta * gate.square()
        return per_image(reference.square() * weight).sum(1)

    def size(self, gate: Tensor, gated: Tensor) -> Tensor:
        return per_image(gated).square().sum(1).mean()
