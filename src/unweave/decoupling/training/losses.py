"""What a decoupled network is trained for besides being right (ECCV section 3.2)."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unweave.decoupling.controlled import Record
from unweave.errors import SettingError

SMALLEST_RESPONSE = 1e-6
"""Normalised mean responses are clamped from below here, without gradient: a filter that is dead on an image would make
the divergence infinite."""


@dataclass(frozen=True)
class Weights:
    """Weights of the losses: `L = CE + mutual_information * Lmi + divergence * Lkl + sparsity * Ls` (ECCV Eq. 12).

    The paper's are in a supplement that is not public; these are a start, to be chosen by experiment.

    Raises
    ------
    SettingError
        If one is not a finite number of at least 0.
    """

    mutual_information: float = 0.01
    divergence: float = 0.01
    sparsity: float = 0.001

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not (number and 0 <= value < float("inf")):
                raise SettingError(f"the weight {name} must be a finite number, at least 0, found {value!r}")


@dataclass(frozen=True)
class Losses:
    """The terms of one batch, each a mean over its samples, summed over layers, not weighted.

    `per_layer` `[layers]`: the divergence of each layer, NaN where its gates or responses are NaN or infinite;
    `opened`: the mean over samples of the sum of all gates.
    """

    cross_entropy: Tensor
    mutual_information: Tensor
    divergence: Tensor
    sparsity: Tensor
    per_layer: Tensor
    opened: Tensor

    def total(self, weights: Weights) -> Tensor:
        """The loss that is minimised."""
        return (
            self.cross_entropy
            + weights.mutual_information * self.mutual_information
            + weights.divergence * self.divergence
            + weights.sparsity * self.sparsity
        )


class LayerClassifiers(nn.Module):
    """One linear classifier per controlled layer, from its gates to class scores, trained beside the network.

    `filters[l]`: filters of layer l. `CE(a, softmax(W_l z_l))` bounds the mutual information of class and gates from
    below: `I(a; z_l) >= H(a) - CE_l` (ECCV Eq. 6-9).
    """

    def __init__(self, filters: Sequence[int], classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(count, classes, bias=False) for count in filters)

    def forward(self, gates: Sequence[Tensor], labels: Tensor) -> Tensor:
        """`Lmi = sum_l CE(a, softmax(W_l z_l))`, mean over samples. Layers of one width are computed together."""
        weights: list[Any] = [layer.weight for layer in self.layers]
        terms = []
        for positions in _by_width(gates):
            alike = torch.stack([weights[position] for position in positions])  # [layers, classes, filters]
            scores = torch.stack([gates[position] for position in positions]) @ alike.mT
            entropy = functional.cross_entropy(scores.flatten(0, 1), labels.repeat(len(positions)))
            terms.append(entropy * len(positions))
        return torch.stack(terms).sum()


def _by_width(gates: Sequence[Tensor]) -> list[list[int]]:
    """Positions of the layers that have equally many filters, together."""
    found: dict[int, list[int]] = {}
    for position, one in enumerate(gates):
        found.setdefault(one.shape[1], []).append(position)
    return list(found.values())


def divergence(gates: Tensor, responses: Tensor) -> Tensor:
    """`KL(z || y)`, per sample `[..., batch]`: gates and mean responses of one layer, or of several with equally many
    filters, `[..., batch, filters]`, each normalised to sum 1 (ECCV Eq. 10; that they are normalised is our reading).

    `y` is of the unmasked output; with the masked one, filters that are not selected would get no gradient. Samples
    whose gates or responses are all zero have no distribution and count 0.
    """
    total_gates, total_responses = gates.sum(-1, keepdim=True), responses.sum(-1, keepdim=True)
    counted = (total_gates != 0) & (total_responses != 0)  # NaN counts, and is reported
    z = gates / torch.where(counted, total_gates, 1.0)
    y = (responses / torch.where(counted, total_responses, 1.0)).clamp_min(SMALLEST_RESPONSE)
    # The gradient of z log z is infinite at z = 0, which a binary gate is: the logarithm is bounded.
    terms = z * (z.clamp_min(SMALLEST_RESPONSE).log() - y.log())
    return torch.where(counted[..., 0], terms.sum(-1), 0.0)


def sparsity(gates: Tensor, keep: float | None) -> Tensor:
    """`| ||z||_1 - R N |`, per sample `[..., batch]`, of gates `[..., batch, filters]`, not divided by the number of
    filters `N` (ECCV Eq. 11); `R` is 0 where `keep` is None."""
    target = (keep or 0.0) * gates.shape[-1]
    return (gates.abs().sum(-1) - target).abs()


def losses(scores: Tensor, labels: Tensor, record: Record, classifiers: LayerClassifiers, keep: float | None) -> Losses:
    """All terms for one batch: class `scores` `[batch, classes]`, `labels` `[batch]`, and what its pass recorded.

    Layers of one width are computed together, and nothing is read back from the device.
    """
    per_layer: list[Tensor] = [scores] * len(record.gates)
    excess, opened = [], []
    for positions in _by_width(record.gates):
        gates = torch.stack([record.gates[position] for position in positions])  # [layers, batch, filters]
        responses = torch.stack([record.responses[position] for position in positions])
        for position, term in zip(positions, divergence(gates, responses).mean(1).unbind(), strict=True):
            per_layer[position] = term
        excess.append(sparsity(gates, keep).mean(1).sum())
        opened.append(gates.detach().sum((0, 2)).mean())
    divergences = torch.stack(per_layer)
    return Losses(
        cross_entropy=functional.cross_entropy(scores, labels),
        mutual_information=classifiers(record.gates, labels),
        divergence=divergences.sum(),
        sparsity=torch.stack(excess).sum(),
        per_layer=divergences.detach(),
        opened=torch.stack(opened).sum(),
    )
