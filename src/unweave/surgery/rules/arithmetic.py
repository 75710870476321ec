"""Two values that meet channel by channel: sums (also around shortcuts), products with gates, and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx

from unweave.network.graph import operation_name
from unweave.network.operations import operation_of
from unweave.slicing.channels import Channels, positions
from unweave.slicing.weights import FILLER, sliced
from unweave.surgery.rules.channelwise import evaluated
from unweave.surgery.writer import Held

if TYPE_CHECKING:
    from unweave.surgery.flow import Flow
    from unweave.surgery.writer import Writer

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class _Operand:
    """One side: `dim` is where it has the result's channels, None where one number serves all of them."""

    value: object
    dim: int | None
    channels: Channels


class Arithmetic:
    """A sum, difference, product, quotient, minimum or maximum of two values, or of a value and a number.

    Where both sides of a sum hold other channels, the result holds those of either: what the second holds is added in
    place to the first. A product with a channel of zeros is one.
    """

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        dim = _dim(node, flow)
        if dim is None:
            return Channels.whole()
        left, right = _operands(node, flow, dim)
        sides = [one.channels.value if isinstance(one.value, fx.Node) else one.value for one in (left, right)]
        made = evaluated(node, *sides)  # type: ignore[arg-type]
        known = left.channels.known & right.channels.known & made.isfinite()
        made = torch.where(known, made, 0)
        if operation_of(node).multiplies:
            zero = _zero(left.channels)
            if operation_name(node) == "mul":
                zero = zero | _zero(right.channels)
            known, made = known | zero, torch.where(zero, 0, made)
        return Channels(dim, known, made)

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        dim = _dim(node, flow)
        operands = [] if dim is None else _operands(node, flow, dim)
        for source in node.all_input_nodes:
            if not flow.follows(source):
                continue
            own = next((one.dim for one in operands if one.value is source), None)
            if own is None:
                flow.need_all(source)
            else:
                flow.need(source, own, wanted)

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        flow, dim = writer.flow, _dim(node, writer.flow)
        if dim is None:
            args, kwargs = fx.map_arg((node.args, node.kwargs), writer.argument)
            return writer.whole(writer.copy(node, args, kwargs))
        left, right = _operands(node, flow, dim)
        order = _order(left, right, writer, wanted)
        added = _added_in_place(node, left, right, writer, order)
        if added is None:
            sides = [_written(one, other, node, writer, order) for one, other in ((left, right), (right, left))]
            added = writer.copy(node, (*sides, *node.args[2:]))
        return Held(added, dim, order)


def _dim(node: fx.Node, flow: Flow) -> int | None:
    """Where the result has its channels: where all sides that have as many agree; None where they do not."""
    shape, dims = flow.shape(node), set()
    for source in node.args[:2]:
        if isinstance(source, fx.Node) and flow.follows(source):
            own, dim = flow.shape(source), flow.channels[source].dim
            at = None if dim is None else dim + len(shape) - len(own)
            if at is not None and own[at - len(shape)] == shape[at]:
                dims.add(at)
    return dims.pop() if len(dims) == 1 else None


def _operands(node: fx.Node, flow: Flow, dim: int) -> list[_Operand]:
    return [_operand(argument, node, flow, dim) for argument in node.args[:2]]


def _operand(argument: object, node: fx.Node, flow: Flow, dim: int) -> _Operand:
    shape = flow.shape(node)
    count = shape[dim]
    if not isinstance(argument, fx.Node):
        assert isinstance(argument, int | float)
        return _Operand(argument, None, _constant(float(argument), dim, count))
    static = flow.static.get(argument)
    if static is None and not flow.follows(argument):  # a number that depends on the batch size
        return _Operand(argument, None, Channels.unknown(dim, count))
    own = tuple(static.shape) if static is not None else flow.shape(argument)
    at = dim - len(shape) + len(own)
    if at < 0 or own[at] != count:
        alike = static is not None and static.numel() == 1
        known = _constant(float(static), dim, count) if static is not None and alike else Channels.unknown(dim, count)
        return _Operand(argument, None, known)
    if static is not None:
        columns = static.movedim(at, 0).reshape(count, -1).double().cpu()
        known_channels = (columns == columns[:, :1]).all(1)
        return _Operand(argument, at, Channels(dim, known_channels, torch.where(known_channels, columns[:, 0], 0)))
    return _Operand(argument, at, flow.along(argument, at).at(dim))


def _constant(value: float, dim: int, count: int) -> Channels:
    return Channels(dim, torch.ones(count, dtype=torch.bool), torch.full((count,), value, dtype=torch.float64))


def _zero(channels: Channels) -> Tensor:
    return channels.known & (channels.value == 0)


def _followed(one: _Operand, writer: Writer) -> bool:
    return one.dim is not None and writer.flow.follows(one.value)


def _kept(one: _Operand, writer: Writer) -> tuple[int, ...]:
    assert isinstance(one.value, fx.Node)
    assert one.dim is not None
    held = writer.holding(one.value, one.dim)
    return () if held is None else held.kept


def _order(left: _Operand, right: _Operand, writer: Writer, wanted: Tensor) -> tuple[int, ...]:
    """The order of the result's channels: that of the sides where they agree, so that nothing is moved."""
    orders = {_kept(one, writer) for one in (left, right) if _followed(one, writer)} - {()}
    needed = positions(wanted)
    if len(orders) == 1:
        (order,) = orders
        if set(needed) <= set(order):
            return order
    return writer.rounded(wanted) if len(orders) > 1 else needed


def _added_in_place(
    node: fx.Node, left: _Operand, right: _Operand, writer: Writer, order: tuple[int, ...]
) -> fx.Node | None:
    """A sum of two values of one shape that hold other channels, written as one of them in `order` (zeros where it
    holds none), to which the other is added where it belongs."""
    if operation_name(node) != "add" or len(node.args) > 2 or node.kwargs.get("alpha", 1) != 1:
        return None
    if not (_followed(left, writer) and _followed(right, writer)):
        return None
    both = [one.value for one in (left, right) if isinstance(one.value, fx.Node)]
    same = writer.flow.shape(both[0]) == writer.flow.shape(both[1]) and (
        both[0].meta["val"].dtype == both[1].meta["val"].dtype
    )
    held = {one: set(_kept(one, writer)) for one in (left, right)}
    real = {channel for channel in order if channel != FILLER}
    whole, part = sorted((left, right), key=lambda one: len(real & held[one]), reverse=True)
    missing = sorted(real - held[part])
    if not same or not missing or not bool((part.channels.value[missing] == 0).all()):
        return None
    base = _written_in_full(whole, writer, order)
    there = [place for place, channel in enumerate(order) if channel in real and channel in held[part]]
    if not there:
        return base
    values = _written_in_full(part, writer, tuple(order[place] for place in there))
    return writer.call(aten.index_add.default, base, whole.dim, writer.index(there), values)


def _written_in_full(one: _Operand, writer: Writer, order: tuple[int, ...]) -> fx.Node:
    assert isinstance(one.value, fx.Node)
    assert one.dim is not None
    return writer.place(one.value, one.dim, order)


def _written(one: _Operand, other: _Operand, node: fx.Node, writer: Writer, order: tuple[int, ...]) -> object:
    """A side with its channels in `order`; one number for each where it is constant and the other has all positions."""
    if not isinstance(one.value, fx.Node):
        return one.value
    static = writer.flow.static.get(one.value)
    if static is not None:
        return (
            writer.argument(one.value)
            if one.dim is None
            else writer.attribute(sliced(static, one.dim, order, 1.0), one.value)
        )
    if one.dim is None:
        return writer.argument(one.value)
    real = [channel for channel in order if channel != FILLER]
    constant = not set(real) & set(_kept(one, writer)) and bool(one.channels.known[real].all())
    if constant and _followed(other, writer) and writer.flow.shape(other.value) == writer.flow.shape(node):  # type: ignore[arg-type]
        return writer.constants(one.value, one.dim, order)
    return writer.place(one.value, one.dim, order)
