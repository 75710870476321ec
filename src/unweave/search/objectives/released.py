"""The objective of the NAD authors' published program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from unweave.search.objectives.base import Objective, per_image


@dataclass(frozen=True)
class Released(Objective):
    """As the authors' program computes it (their paper's Eq. 13 weights the penalty by activations; this does not):

        L = 1/n * ( mean_x CE + sum_i mean_{x+, c, p} (h_i - r_i)^2 + beta * sum_i mean_c gate_i^2 )

    `n` sites, `x` all images of the class in the batch, `x+` those that the untouched network classifies correctly,
    `c` channels, `p` positions. The published betas (4.5 for VGG16, 0.02 for ResNet50 and DenseNet121, 0.45 for
    DARTS-Net on ImageNet) calibrate this objective.
    For one site alone the optimum is `gate = v / (v + beta)`, `v` the channel's mean squared activation: a channel is
    kept if `v > beta`.
    """

    name: ClassVar[str] = "released"
    source: ClassVar[str] = "the NAD authors' published program"
    only_correct: ClassVar[bool] = True
    has_chain_term: ClassVar[bool] = True

    def scale(self, sites: int) -> float:
        return 1.0 / sites

    def class_term(self, scores: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(scores, labels, reduction="none")

    def gate_term(self, gate: Tensor) -> Tensor:
        return self.beta * gate.square().mean(1)

    def chain_term(self, gated: Tensor, reference: Tensor) -> Tensor:
        return float(self.reconstruction) * self.reconstruction_error(gated, reference)

    def chain_slopes(self, gated: Tensor, reference: Tensor) -> tuple[float, float]:
        slope = 2.0 * self.reconstruction / reference[0].numel()
        return slope, slope

    def reconstruction_error(self, gated: Tensor, reference: Tensor) -> Tensor:
        return per_image(gated - reference).square().mean(1)
