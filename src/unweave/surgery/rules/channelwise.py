"""Operations that make every channel of the same channel: masks, activations, norms, pools."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from unweave.network.graph import operation_name
from unweave.network.operations import operation_of
from unweave.slicing.channels import Channels
from unweave.slicing.weights import FILLER, sliced
from unweave.surgery.writer import Held

if TYPE_CHECKING:
    from unweave.surgery.flow import Flow
    from unweave.surgery.writer import Writer


class Channelwise:
    """The result's channels are the operand's, one by one; what becomes of constants is for each rule to say."""

    def source(self, node: fx.Node) -> fx.Node:
        """The operand that channels come from."""
        source = node.args[0]
        assert isinstance(source, fx.Node)
        return source

    def dim(self, node: fx.Node, flow: Flow) -> int | None:
        """The dimension of the channels."""
        return flow.channels[self.source(node)].dim

    def incoming(self, node: fx.Node, flow: Flow) -> Channels:
        """The channels of the operand."""
        dim = self.dim(node, flow)
        return Channels.whole() if dim is None else flow.along(self.source(node), dim)

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        return self.incoming(node, flow)

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        flow.need(self.source(node), self.dim(node, flow), wanted)

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        held = writer.take(self.source(node), self.dim(node, writer.flow), wanted)
        rest = fx.map_arg((node.args[1:], dict(node.kwargs)), writer.argument)
        return Held(writer.copy(node, (held.value, *rest[0]), rest[1]), held.dim, held.kept)


class Pointwise(Channelwise):
    """A function of single numbers: a constant channel becomes another one."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before = self.incoming(node, flow)
        made = evaluated(node, before.value)
        known = before.known & made.isfinite()
        return Channels(before.dim, known, torch.where(known, made, 0))


def evaluated(node: fx.Node, *values: Tensor | float) -> Tensor:
    """What an operation of single numbers makes of `values` (its first operands), in the precision of its result."""
    target: Any = node.target
    dtype = node.meta["val"].dtype
    operands = [one.to(dtype) if isinstance(one, Tensor) else one for one in values]
    with torch.no_grad():
        made: Tensor = target(*operands, *node.args[len(values) :], **node.kwargs)
    return made.double()


class ZeroKeeping(Channelwise):
    """An operation that the table says no more of than whether a zero channel stays one."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before = self.incoming(node, flow)
        return before.only(before.value == 0) if operation_of(node).keeps_zero else before.only(before.value.isnan())


class Mask(Channelwise):
    """Where a site's masks apply: a channel outside is zero."""

    def dim(self, node: fx.Node, flow: Flow) -> int:
        return flow.marked.sites[_position(node)].dim

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before, mask = self.incoming(node, flow), flow.marked.masks[_position(node)]
        return Channels(before.dim, before.known | ~mask, torch.where(mask, before.value, 0))

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        held = writer.take(self.source(node), self.dim(node, writer.flow), wanted)
        mask = writer.flow.marked.masks[_position(node)]
        # A channel that was computed all the same (an attention's result has all) is not the site's, which is zero.
        kept = tuple(one if one != FILLER and mask[one] else FILLER for one in held.kept)
        return Held(held.value, held.dim, kept)


def _position(node: fx.Node) -> int:
    position = node.args[1]
    assert isinstance(position, int)
    return position


class BatchNorm(Channelwise):
    """`scale * x + shift` for every channel: a constant becomes another one, and everything one where scale is 0."""

    def dim(self, node: fx.Node, flow: Flow) -> int:
        return 1

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before = self.incoming(node, flow)
        scale, shift, mean, variance = (_static(argument, flow) for argument in node.args[1:5])
        assert mean is not None
        assert variance is not None
        epsilon = node.args[7]
        assert isinstance(epsilon, float)
        factor = torch.rsqrt(variance + epsilon) * (1 if scale is None else scale)
        made = (before.value - mean) * factor + (0 if shift is None else shift)
        known = before.known | (factor == 0)
        return Channels(1, known, torch.where(known, made, 0))

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        held = writer.take(self.source(node), 1, wanted)
        weights = []
        for argument, fill in zip(node.args[1:5], (0.0, 0.0, 0.0, 1.0), strict=True):
            static = writer.flow.static.get(argument) if isinstance(argument, fx.Node) else None
            weights.append(None if static is None else writer.attribute(sliced(static, 0, held.kept, fill)))
        return Held(writer.copy(node, (held.value, *weights, *node.args[5:])), 1, held.kept)


class InstanceNorm(Channelwise):
    """Every channel with its own mean: a constant one becomes the shift. Written only without running statistics."""

    def dim(self, node: fx.Node, flow: Flow) -> int:
        return 1

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before = self.incoming(node, flow)
        shift = _static(node.args[2], flow)
        made = torch.zeros_like(before.value) if shift is None else shift
        return Channels(1, before.known, torch.where(before.known, made, 0))

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        held = writer.take(self.source(node), 1, wanted)
        weights = []
        for argument in node.args[1:3]:
            static = writer.flow.static.get(argument) if isinstance(argument, fx.Node) else None
            weights.append(None if static is None else writer.attribute(sliced(static, 0, held.kept)))
        return Held(writer.copy(node, (held.value, *weights, *node.args[3:])), 1, held.kept)


class PerChannelWeight(Channelwise):
    """PReLU: a slope for every channel, or one for all."""

    def dim(self, node: fx.Node, flow: Flow) -> int:
        return 1

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before, slope = self.incoming(node, flow), _static(node.args[1], flow)
        assert slope is not None
        return Channels(1, before.known, torch.where(before.value > 0, before.value, slope * before.value))

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        held = writer.take(self.source(node), 1, wanted)
        assert isinstance(node.args[1], fx.Node)
        slope = writer.flow.static[node.args[1]]
        cut = slope if slope.numel() == 1 else sliced(slope, 0, held.kept)
        return Held(writer.copy(node, (held.value, writer.attribute(cut))), 1, held.kept)


def _static(argument: object, flow: Flow) -> Tensor | None:
    return flow.static[argument].double().cpu() if isinstance(argument, fx.Node) else None


class Pool(Channelwise):
    """Over positions: a constant stays one, but where zeros at the border are averaged in."""

    def dim(self, node: fx.Node, flow: Flow) -> int:
        return 1

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before = self.incoming(node, flow)
        return before.only(before.value == 0) if _averages_borders(node) else before


def _averages_borders(node: fx.Node) -> bool:
    if not operation_name(node).startswith("avg_pool"):
        return False
    padding = node.args[3] if len(node.args) > 3 else 0
    pads = any(padding) if isinstance(padding, list | tuple) else bool(padding)
    counts = node.args[5] if len(node.args) > 5 else True
    divides_otherwise = len(node.args) > 6 and node.args[6] is not None
    return (pads and bool(counts)) or divides_otherwise


class FirstResult(Channelwise):
    """The values of a pool that has indices too."""

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        held = writer.take(self.source(node), self.dim(node, writer.flow), wanted)
        return Held(writer.call(operator.getitem, held.value, 0), held.dim, held.kept)
