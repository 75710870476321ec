"""A convolution that computes the selected filters only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unweave.decoupling.controlled import Controller
from unweave.decoupling.sparse.plan import Algorithm, Choice
from unweave.decoupling.sparse.product import product, windows
from unweave.decoupling.sparse.selection import MOST_ADDED, Selection, select_extended, widened
from unweave.decoupling.sparse.weights import GatheredWeights

_ORDERS = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
    "product": torch.channels_last,
}


@dataclass
class Executed:
    """What a sparse network computed, summed over inputs: `multiply_accumulates[layer]` from the shapes that were
    really used (before counts are rounded up, without controlling modules), and `empty[layer]`: inputs for which a
    layer selected no filter, where its output is exactly zero."""

    multiply_accumulates: Counter[str] = field(default_factory=Counter)
    empty: Counter[str] = field(default_factory=Counter)


Watch = Callable[["SparseConvolution", Tensor, Selection | None, Tensor | None], None]
"""Called with a convolution, its input (values, what they hold) and its gates, before it computes."""


@dataclass
class Shared:
    """What all convolutions of one sparse network share during a pass."""

    executed: Executed | None = None
    watch: Watch | None = None


class SparseConvolution(nn.Module):
    """`forward(values, held)` -> the output and what it holds; both values are compact or full. Where `values` were
    padded by the module that was replaced, `before, before_held` are what that was given, which gates are made from.

    `weight` `[filters, channels, tall, wide]` and `bias` have the norm folded in; `settings` are stride, padding and
    dilation; `controller` is None where all filters are always selected.
    """

    def __init__(
        self,
        name: str,
        weight: Tensor,
        bias: Tensor | None,
        settings: dict[str, Any],
        controller: Controller | None,
        shared: Shared,
    ) -> None:
        super().__init__()
        self.name, self.settings, self.shared = name, settings, shared
        self.weights = GatheredWeights(weight)
        self.controlled = controller is not None
        if controller is not None:
            # One row a channel, one column a filter; filters of zeros, which rounding up takes, are always selected.
            self.register_buffer("reduce", controller.reduce.weight.detach().t().contiguous())
            self.register_buffer("reduce_bias", controller.reduce.bias.detach().clone())
            expand = functional.pad(controller.expand.weight.detach().t(), (0, MOST_ADDED))
            self.register_buffer("expand", expand.contiguous())
            self.register_buffer(
                "expand_bias", functional.pad(controller.expand.bias.detach(), (0, MOST_ADDED), value=1)
            )
        self.register_buffer("bias", functional.pad(bias.detach(), (0, MOST_ADDED)) if bias is not None else None)
        self.bias: Tensor | None
        self.single = self.together = Choice("dense")
        self.ends_compact = True
        """Whether what comes after this layer goes on with a compact value."""
        self.begins_compact = False
        """Whether this layer's input can be compact."""

    def forward(
        self,
        values: Tensor,
        held: Selection | None,
        before: Tensor | None = None,
        before_held: Selection | None = None,
    ) -> tuple[Tensor, Selection | None]:
        gates = self.gates(values, held) if before is None else self.gates(before, before_held)
        if self.shared.watch is not None:
            self.shared.watch(self, values, held, gates)
        return self.compute(values, held, gates, self.single if len(values) == 1 else self.together)

    def has_few_windows(self, values: Tensor) -> bool:
        """Whether a copy of what the kernel sees at all positions is small beside the weights, or not needed."""
        down, right = self.settings.get("stride", (1, 1))
        positions = len(values) * (values.shape[2] // down) * (values.shape[3] // right)
        return self.weights.area == 1 or positions <= self.weights.filters

    def gates(self, values: Tensor, held: Selection | None) -> Tensor | None:
        """`Bool[batch, filters + MOST_ADDED]`: the selected filters, followed by what rounding up can take, which is
        always selected; None where there is no controlling module."""
        if not self.controlled:
            return None
        # Few operations: at one input each takes longer to begin than to compute. The mean is a sum, scaled within.
        reduce, reduce_bias, expand, expand_bias = self._controller()
        if held is not None:
            reduce = reduce.index_select(0, held.places)
        scale = 1 / (values.shape[2] * values.shape[3])
        hidden = torch.addmm(reduce_bias, values.sum((2, 3)), reduce, alpha=scale).relu_()
        gates = torch.addmm(expand_bias, hidden, expand) > 0
        if self.shared.executed is not None:
            self.shared.executed.empty[self.name] += int((~gates[:, : self.weights.filters].any(1)).sum())
        return gates

    def _controller(self) -> tuple[Tensor, ...]:
        """The controlling module's tensors; asked for one by one as attributes, modules find each of them slowly."""
        own = self._buffers
        found = tuple(own[name] for name in ("reduce", "reduce_bias", "expand", "expand_bias"))
        return found  # type: ignore[return-value]

    def compute(
        self, values: Tensor, held: Selection | None, gates: Tensor | None, choice: Choice
    ) -> tuple[Tensor, Selection | None]:
        """The output as `choice` says, for given gates."""
        if choice.method in ("dense", "rows"):
            values, held = widened(values, held), None
        if gates is None:
            return self._convolve(values, held, None, choice.algorithm), None
        if choice.method in ("dense", "columns"):
            output = self._convolve(values, held, None, choice.algorithm)
            return output.mul_(gates[:, : self.weights.filters, None, None]), None
        if choice.method == "groups" and len(values) > 1:
            return self._in_groups(values, held, gates, choice.algorithm), None
        selected = select_extended(gates.view(-1) if len(gates) == 1 else gates.any(0))
        output = self._convolve(values, held, selected, choice.algorithm)
        if len(gates) > 1:
            output.mul_(_columns(gates, selected)[:, : output.shape[1], None, None])
        return output, selected

    def _in_groups(self, values: Tensor, held: Selection | None, gates: Tensor, algorithm: Algorithm) -> Tensor:
        """All filters `[batch, filters, tall, wide]`, inputs with equal gates computed at once."""
        output: Tensor | None = None
        for members in _equal_rows(gates):
            selected = select_extended(gates[members[0]])
            part = widened(self._convolve(values[members], held, selected, algorithm), selected)
            if output is None:
                output = torch.empty((len(values), *part.shape[1:]), dtype=part.dtype, device=part.device)
                output = output.contiguous(memory_format=_ORDERS[algorithm])
            output[members] = part
        assert output is not None
        return output

    def _convolve(
        self, values: Tensor, held: Selection | None, selected: Selection | None, algorithm: Algorithm
    ) -> Tensor:
        bias = self.bias
        if bias is not None:
            bias = bias[: self.weights.filters] if selected is None else bias.index_select(0, selected.index)
        if algorithm == "product":
            by_channel = selected is not None and held is not None
            seen = windows(values, (self.weights.tall, self.weights.wide), self.settings, by_channel=by_channel)
            output = product(seen, self.weights.matrix(selected, held), bias)
        else:
            weight = self.weights.gathered(selected, held, algorithm)
            placed = values.contiguous(memory_format=_ORDERS[algorithm])
            output = functional.conv2d(placed, weight, bias, **self.settings)
        if self.shared.executed is not None:
            channels = self.weights.channels if held is None else held.count
            filters = self.weights.filters if selected is None else selected.count
            positions = len(output) * output.shape[2] * output.shape[3]
            executed = self.weights.area * positions * channels * filters
            self.shared.executed.multiply_accumulates[self.name] += executed
        return output


def _columns(gates: Tensor, selected: Selection | None) -> Tensor:
    return gates if selected is None else gates.index_select(1, selected.index)


def _equal_rows(gates: Tensor) -> Iterator[Tensor]:
    """The positions of equal rows, set by set."""
    _, group = torch.unique(gates, dim=0, return_inverse=True)
    for number in range(int(group.max()) + 1):
        yield (group == number).nonzero().view(-1)
