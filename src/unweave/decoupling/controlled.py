"""A convolution whose filters are selected for every input by a controlling module."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from unweave.decoupling.hashing import hashed

_REDUCTION = 4
_START = 2.0


class Controller(nn.Module):
    """`g = W2 relu(W1 s)`, `s` the mean of the layer's input over positions (ECCV Eq. 2): `[batch, channels, height,
    width]` -> `[batch, filters]`. `W1` makes a quarter of the channels.

    `W2` starts at zero and its bias at two: in evaluation all gates are open, whatever the scale of the input, and
    in training the noise closes 2 % of them and saturates 34 %, which get no gradient. From a bias of one, a short
    training ends with `g` a little above zero: the noise alone makes the wanted share in training, and in
    evaluation nearly all gates stay open (docs/decoupling.md). Hidden units differ from the first step on, because
    `W1` is random.
    """

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        hidden = max(1, channels // _REDUCTION)
        self.reduce, self.expand = nn.Linear(channels, hidden), nn.Linear(hidden, filters)
        nn.init.zeros_(self.expand.weight)
        nn.init.constant_(self.expand.bias, _START)

    def forward(self, values: Tensor) -> Tensor:
        # In mixed precision too: an output near zero would round to another gate. (An exported graph takes no context.)
        mixed = torch.is_autocast_enabled(values.device.type)
        with torch.autocast(values.device.type, enabled=False) if mixed else nullcontext():
            squeezed = values.mean((2, 3), dtype=self.reduce.weight.dtype)
            selected: Tensor = self.expand(functional.relu(self.reduce(squeezed)))
        return selected


@dataclass
class Record:
    """What one pass through a decoupled network selects: for each controlled layer, in the order they run, gates `z`,
    mean responses `y` (of the unmasked output after ReLU), and what the gates are made from, the controlling module's
    output `g` (infinite where every filter is selected whatever it says), all `[batch, filters]`."""

    gates: list[Tensor] = field(default_factory=list)
    responses: list[Tensor] = field(default_factory=list)
    controls: list[Tensor] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    """Of each layer's output for one input."""


@dataclass
class Pass:
    """What all layers of one decoupled network share during a pass. `binary` `[batch]`: which samples train with
    binary gates, one coin a sample for all layers."""

    binary: Tensor | None = None
    record: Record | None = None
    responses: bool = True
    """Whether mean responses are recorded besides gates."""
    open: bool = False
    """All filters selected, whatever the controllers say."""


class ControlledConvolution(nn.Module):
    """A convolution with the norm that directly follows it, masked by its controlling module.

    Gates multiply the norm's output. Where ReLU follows this equals masking behind it, `relu(z y) = z relu(y)`; in a
    residual block, whose last convolution has no ReLU of its own, it masks before the addition.
    """

    def __init__(self, convolution: nn.Conv2d, norm: nn.Module | None, shared: Pass) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm
        self.controller = Controller(convolution.in_channels, convolution.out_channels)
        self.controller.to(convolution.weight.device, convolution.weight.dtype)
        self._shared = shared

    def forward(self, values: Tensor) -> Tensor:
        output: Tensor = self.convolution(values)
        if self.norm is not None:
            output = self.norm(output)
        controls, gates = self._gates(values)
        if self._shared.record is not None:
            self._shared.record.controls.append(controls)
            self._shared.record.gates.append(gates)
            self._shared.record.shapes.append(tuple(output.shape[1:]))
            if self._shared.responses:
                self._shared.record.responses.append(functional.relu(output).mean((2, 3), dtype=gates.dtype))
        return output * gates.to(output.dtype)[:, :, None, None]

    def _gates(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """`g` and `z`"""
        precise = self.convolution.weight.dtype  # sums over gates lose too much in mixed precision
        if self._shared.open:
            ones = values.new_ones(values.shape[0], self.convolution.out_channels, dtype=precise)
            return torch.full_like(ones, torch.inf), ones
        selected = self.controller(values).to(precise)
        if not self.training:
            return selected, hashed(selected, None, None)
        binary = self._shared.binary
        if binary is None or len(binary) != len(values):
            raise RuntimeError("a decoupled network is trained through its own forward, which draws a coin a sample")
        return selected, hashed(selected, torch.randn_like(selected), binary)
