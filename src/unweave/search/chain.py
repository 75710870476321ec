"""The tap of a search: gates on the chain, with the reconstruction's gradient handed to the backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unweave.network.sites import Site
from unweave.network.tapping import along_channels, positions_of
from unweave.search.objectives import Objective


class _GateWithTerm(torch.autograd.Function):
    """`h = gate * value`; backward adds the gradient of `sum_x weight_x * chain_term(h_x, r_x)`.

    Left to autograd, the term would cost several more passes over the activations and keep more of them in memory:
    1.28 times the floor's time instead of 1.09 (ResNet-56, two cores).
    """

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, gate: Tensor, reference: Tensor, weight: Tensor, objective: Objective, dim: int
    ) -> Tensor:
        gated = value * along_channels(gate, value.ndim, dim).to(value.dtype)
        ctx.save_for_backward(value, gate, gated, reference, weight)
        ctx.objective, ctx.dim = objective, dim
        return gated

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = incoming
        value, gate, gated, reference, weight = ctx.saved_tensors
        total = _add_chain_gradient(gradient, gated, reference, weight, ctx.objective)
        by_gate = None
        if ctx.needs_input_grad[1]:
            wide = torch.promote_types(value.dtype, torch.float32)
            product, positions = total * value, positions_of(value, ctx.dim)
            # sum(()) would sum over everything: a linear layer's values have no positions.
            by_gate = product.sum(positions, dtype=wide) if positions else product.to(wide)
        by_value = None
        if ctx.needs_input_grad[0]:
            by_value = total.mul_(along_channels(gate, value.ndim, ctx.dim).to(value.dtype))
        return by_value, by_gate, None, None, None, None


def _add_chain_gradient(
    gradient: Tensor, gated: Tensor, reference: Tensor, weight: Tensor, objective: Objective
) -> Tensor:
    """`gradient + weight * (a h - b r)` in a new tensor, in as few passes as it takes."""
    by_gated, by_reference = objective.chain_slopes(gated, reference)

    def per_image(slope: Tensor | float) -> Tensor:
        return (weight * slope).view(-1, *[1] * (gated.ndim - 1)).to(gated.dtype)

    if by_gated is by_reference or (isinstance(by_gated, float) and by_gated == by_reference):
        return (gated - reference).mul_(per_image(by_gated)).add_(gradient)
    return (gated * per_image(by_gated)).sub_(reference * per_image(by_reference)).add_(gradient)


class SearchTap:
    """Gates every site for one batch, and gathers what the objective needs there.

    `gates[i]` is `[batch, channels]`. After the forward pass `local` holds the local terms, weighted, one a site.
    """

    def __init__(
        self,
        objective: Objective,
        sites: Sequence[Site],
        gates: Sequence[Tensor],
        spreads: Sequence[Tensor] | None,
        means: Sequence[Tensor],
        references: Sequence[Tensor],
        weight: Tensor,
    ) -> None:
        self.objective, self.sites, self.gates, self.references = objective, sites, gates, references
        self.spreads, self.means, self.weight = spreads, means, weight
        self.local: list[Tensor] = []

    def __call__(self, position: int, value: Tensor) -> Tensor:
        site, gate = self.sites[position], self.gates[position]
        if not self.objective.reads_activations:
            return value * along_channels(gate, value.ndim, site.dim).to(value.dtype)
        reference = self.references[position]
        if self.objective.has_local_term:
            self.local.append((self.weight * self._local(position, reference.to(gate.dtype))).sum())
        if self.objective.has_chain_term:
            gated: Tensor = _GateWithTerm.apply(value, gate, reference, self.weight, self.objective, site.dim)
        else:
            gated = value * along_channels(gate, value.ndim, site.dim).to(value.dtype)
        return gated

    def _local(self, position: int, reference: Tensor) -> Tensor:
        dim = self.sites[position].dim
        mean = along_channels(self.means[position], reference.ndim, dim)
        spread = along_channels(self.spreads[position], reference.ndim, dim) if self.spreads is not None else None
        return self.objective.local_term(reference, mean, spread)
