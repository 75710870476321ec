"""The preprint's concept feature paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unweave.search.objectives.base import Objective, per_image


@dataclass(frozen=True)
class ConceptPath(Objective):
    """Preprint Eq. 4-7; `beta` is the preprint's lambda, labels are not used:

        L = mean_x [ ||z~ - z||_2 + sum_i ||r_i - h_i||_2 ] + lambda * sum_i ||gate_i||_1

    `z~`, `z`: class scores of the gated and the untouched network. Norms are not squared and run over channels and
    positions; where a norm is 0 its subgradient is taken to be 0.
    """

    name: ClassVar[str] = "concept-path"
    source: ClassVar[str] = "preprint Eq. 4-9"
    has_chain_term: ClassVar[bool] = True

    def class_term(self, scores: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        distance: Tensor = torch.linalg.vector_norm(scores - reference, dim=1)
        return distance

    def gate_term(self, gate: Tensor) -> Tensor:
        return self.beta * gate.abs().sum(1)

    def chain_term(self, gated: Tensor, reference: Tensor) -> Tensor:
        return float(self.reconstruction) * self.reconstruction_error(gated, reference)

    def chain_slopes(self, gated: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        norm = self.reconstruction_error(gated, reference)
        inverse = torch.where(norm > 0, float(self.reconstruction) / norm.clamp_min(1e-30), 0.0)
        return inverse, inverse

    def reconstruction_error(self, gated: Tensor, reference: Tensor) -> Tensor:
        wide = torch.promote_types(gated.dtype, torch.float32)
        distance: Tensor = torch.linalg.vector_norm(per_image(gated - reference), dim=1, dtype=wide)
        return distance
