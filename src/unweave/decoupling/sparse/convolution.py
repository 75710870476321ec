"""A convolution that computes the selected filters only."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unweave.decoupling.controlled import Controller
from unweave.decoupling.sparse.plan import Choice, Order
from unweave.decoupling.sparse.selection import Selection, mean_of_positions, select, widened

_ORDERS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


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
    """`forward(values, held)` -> the output and what it holds; both values are compact or full.

    `weight` `[filters, channels, tall, wide]` and `bias` have the norm folded in; `settings` are stride, padding and
    dilation; `controller` is None where all filters are always selected. One filter of zeros is added to the weights:
    counts are rounded up with it.
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
        self.filters, self.channels = weight.shape[:2]
        self.area = weight.shape[2] * weight.shape[3]
        self.controller = copy.deepcopy(controller).requires_grad_(False) if controller is not None else None
        padded = functional.pad(weight.detach(), (0, 0, 0, 0, 0, 0, 0, 1)).contiguous()
        self.register_buffer("weight", padded)
        self.register_buffer("weight_last", padded.permute(0, 2, 3, 1).contiguous())
        self.register_buffer("bias", functional.pad(bias.detach(), (0, 1)) if bias is not None else None)
        self.register_buffer("every", torch.arange(self.filters, dtype=torch.int32, device=weight.device))
        self.every: Tensor
        self.weight: Tensor
        self.weight_last: Tensor
        self.bias: Tensor | None
        self.single = self.together = Choice("dense")
        self.ends_compact = True
        """Whether what comes after this layer goes on with a compact value."""

    def forward(self, values: Tensor, held: Selection | None) -> tuple[Tensor, Selection | None]:
        gates = self.gates(values, held)
        if self.shared.watch is not None:
            self.shared.watch(self, values, held, gates)
        return self.compute(values, held, gates, self.single if len(values) == 1 else self.together)

    def gates(self, values: Tensor, held: Selection | None) -> Tensor | None:
        """`Bool[batch, filters]`: the selected filters; None where there is no controlling module."""
        if self.controller is None:
            return None
        reduce, expand = self.controller.reduce, self.controller.expand
        # The functions, not the modules: at one input the time of a call counts.
        hidden = functional.linear(mean_of_positions(values, held), reduce.weight, reduce.bias).relu_()
        gates = functional.linear(hidden, expand.weight, expand.bias) > 0
        if self.shared.executed is not None:
            self.shared.executed.empty[self.name] += int((~gates.any(1)).sum())
        return gates

    def compute(
        self, values: Tensor, held: Selection | None, gates: Tensor | None, choice: Choice
    ) -> tuple[Tensor, Selection | None]:
        """The output as `choice` says, for given gates."""
        if choice.method in ("dense", "rows"):
            values, held = widened(values, held), None
        if gates is None:
            return self._convolve(values, held, None, choice.order), None
        if choice.method in ("dense", "columns"):
            output = self._convolve(values, held, None, choice.order)
            return output * gates[:, :, None, None].to(output.dtype), None
        if choice.method == "groups" and len(values) > 1:
            return self._in_groups(values, held, gates, choice.order), None
        selected = select(gates.view(-1) if len(gates) == 1 else gates.any(0))
        output = self._convolve(values, held, selected, choice.order)
        if len(gates) > 1:
            output = output * _columns(gates, selected)[:, :, None, None].to(output.dtype)
        return output, selected

    def _in_groups(self, values: Tensor, held: Selection | None, gates: Tensor, order: Order) -> Tensor:
        """All filters `[batch, filters, tall, wide]`, inputs with equal gates computed at once."""
        output: Tensor | None = None
        for members in _equal_rows(gates):
            selected = select(gates[members[0]])
            part = widened(self._convolve(values[members], held, selected, order), selected)
            if output is None:
                output = torch.empty((len(values), *part.shape[1:]), dtype=part.dtype, device=part.device)
                output = output.contiguous(memory_format=_ORDERS[order])
            output[members] = part
        assert output is not None
        return output

    def _convolve(self, values: Tensor, held: Selection | None, selected: Selection | None, order: Order) -> Tensor:
        weight = self._gathered(selected, held, order)
        bias = self.bias
        if bias is not None:
            bias = bias[:-1] if selected is None else bias.index_select(0, selected.index)
        output = functional.conv2d(values.contiguous(memory_format=_ORDERS[order]), weight, bias, **self.settings)
        if self.shared.executed is not None:
            channels = self.channels if held is None else held.count
            filters = self.filters if selected is None else selected.count
            positions = len(output) * output.shape[2] * output.shape[3]
            self.shared.executed.multiply_accumulates[self.name] += self.area * positions * channels * filters
        return output

    def _gathered(self, rows: Selection | None, columns: Selection | None, order: Order) -> Tensor:
        """The weight of some filters (`rows`) on some channels (`columns`); None: all."""
        if order == "contiguous":
            return self._gathered_contiguous(rows, columns)
        weight = self.weight_last
        weight = weight[:-1] if rows is None else weight.index_select(0, rows.index)
        if columns is not None:
            weight = weight.index_select(3, columns.places)
        return weight.permute(0, 3, 1, 2)

    def _gathered_contiguous(self, rows: Selection | None, columns: Selection | None) -> Tensor:
        if columns is not None and self.area > 1:
            # One look-up of kernels: it moves what is needed, once; two selections move whole filters first.
            index = self.every if rows is None else rows.index.int()
            kernels = (index[:, None] * self.channels + columns.places.int()).view(-1)
            found = functional.embedding(kernels, self.weight.view(-1, self.area))
            return found.view(len(index), len(columns.places), *self.weight.shape[2:])
        weight = self.weight[:-1] if rows is None else self.weight.index_select(0, rows.index)
        return weight if columns is None else weight.index_select(1, columns.places)


def _columns(gates: Tensor, selected: Selection | None) -> Tensor:
    return gates if selected is None else gates.index_select(1, selected.places)


def _equal_rows(gates: Tensor) -> Iterator[Tensor]:
    """The positions of equal rows, set by set."""
    _, group = torch.unique(gates, dim=0, return_inverse=True)
    for number in range(int(group.max()) + 1):
        yield (group == number).nonzero().view(-1)
