"""Operations that compute nothing new: concatenation, slices, padding, other shapes; and sums over positions."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from unweave.network.graph import operation_name
from unweave.slicing.channels import Channels, positions
from unweave.slicing.weights import FILLER, sliced
from unweave.surgery.rules.channelwise import Channelwise
from unweave.surgery.writer import Held

if TYPE_CHECKING:
    from unweave.surgery.flow import Flow
    from unweave.surgery.writer import Writer

aten = torch.ops.aten


class Concatenation:
    """Of channels: one part's after the other's. Of positions or tokens: all parts with the same channels."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        dim = _concatenated(node, flow)
        own = _channel_dim(node, flow)
        if own is None:
            return Channels.whole()
        parts = [_part(part, flow, own) for part in _parts(node)]
        if own == dim:
            return Channels(own, torch.cat([one.known for one in parts]), torch.cat([one.value for one in parts]))
        same = torch.stack([one.known & (one.value == parts[0].value) for one in parts]).all(0)
        return Channels(own, same, torch.where(same, parts[0].value, 0))

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        own, begin = _channel_dim(node, flow), 0
        for part in _parts(node):
            count = 0 if own is None else _part_shape(part, flow)[own]
            asked = wanted[begin : begin + count] if own == _concatenated(node, flow) else wanted
            begin += count
            if flow.follows(part):
                flow.need(part, own, asked)

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        own = _channel_dim(node, writer.flow)
        if own is None:
            return writer.whole(writer.copy(node, *fx.map_arg((node.args, node.kwargs), writer.argument)))
        if own == _concatenated(node, writer.flow):
            return self._write_channels(node, writer, wanted, own)
        orders = {writer.take(part, own, wanted).kept for part in _parts(node) if writer.flow.follows(part)}
        order = orders.pop() if len(orders) == 1 else positions(wanted)
        values = [_placed(part, writer, own, order) for part in _parts(node)]
        return Held(writer.copy(node, (values, *node.args[1:])), own, order)

    @staticmethod
    def _write_channels(node: fx.Node, writer: Writer, wanted: Tensor, dim: int) -> Held:
        values, kept, begin = [], [], 0
        for part in _parts(node):
            count = _part_shape(part, writer.flow)[dim]
            asked = wanted[begin : begin + count]
            if bool(asked.any()):
                order = positions(asked)
                if writer.flow.follows(part):
                    held = writer.take(part, dim, asked)
                    values.append(held.value)
                    order = held.kept
                else:
                    values.append(_placed(part, writer, dim, order))
                kept += [begin + one if one != FILLER else FILLER for one in order]
            begin += count
        joined = values[0] if len(values) == 1 else writer.call(aten.cat.default, values, dim)
        return Held(joined, dim, tuple(kept))


def _parts(node: fx.Node) -> list[fx.Node]:
    return list(node.args[0])  # type: ignore[arg-type]


def _part_shape(part: fx.Node, flow: Flow) -> tuple[int, ...]:
    static = flow.static.get(part)
    return flow.shape(part) if static is None else tuple(static.shape)


def _concatenated(node: fx.Node, flow: Flow) -> int:
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    assert isinstance(dim, int)
    return dim % len(flow.shape(node))


def _channel_dim(node: fx.Node, flow: Flow) -> int | None:
    """Where the parts that are followed have their channels; None where they disagree."""
    dims = {flow.channels[part].dim for part in _parts(node) if flow.follows(part)} - {None}
    return dims.pop() if len(dims) == 1 else None


def _part(part: fx.Node, flow: Flow, dim: int) -> Channels:
    if flow.follows(part):
        return flow.along(part, dim)
    return Channels.unknown(dim, flow.static[part].shape[dim])


def _placed(part: fx.Node, writer: Writer, dim: int, order: tuple[int, ...]) -> fx.Node:
    if writer.flow.follows(part):
        return writer.place(part, dim, order)
    return writer.attribute(sliced(writer.flow.static[part], dim, order), part)


class Slice(Channelwise):
    """A part of a dimension: of the channels, or of the positions of all channels."""

    def source(self, node: fx.Node) -> fx.Node:
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if node.target is operator.getitem:  # a part of a split
            source = source.args[0]
            assert isinstance(source, fx.Node)
        return source

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before, (dim, places) = self.incoming(node, flow), _places(node, self.source(node), flow)
        return before.picked(torch.tensor(list(places), dtype=torch.long)) if dim == before.dim else before

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        source, (dim, places) = self.source(node), _places(node, self.source(node), flow)
        own = flow.channels[source].dim
        if dim != own:
            flow.need(source, own, wanted)
            return
        asked = torch.zeros(flow.shape(source)[dim], dtype=torch.bool)
        asked[list(places)] = wanted
        flow.need(source, own, asked)

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        source, (dim, places) = self.source(node), _places(node, self.source(node), writer.flow)
        own = writer.flow.channels[source].dim
        if dim != own:
            held = writer.take(source, own, wanted)
            made = writer.call(aten.slice.Tensor, held.value, dim, places.start, places.stop, places.step)
            return Held(made, held.dim, held.kept)
        order = tuple(places[one] for one in positions(wanted))
        return Held(writer.place(source, dim, order), dim, positions(wanted))


def has_fixed_size(node: fx.Node, flow: Flow) -> bool:
    """Whether the dimension that a slice or split cuts has the same size at every batch size."""
    cut: Any = node.args[0]
    if node.target is operator.getitem:
        whole = cut.args[0]
        dim = _split_dimension(cut, whole, flow)
    else:
        given: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        whole, dim = cut, given % len(flow.shape(cut))
    return isinstance(whole.meta["val"].shape[dim], int)


def _split_dimension(split: fx.Node, source: fx.Node, flow: Flow) -> int:
    given: Any = split.args[2] if len(split.args) > 2 else split.kwargs.get("dim", 0)
    return int(given % len(flow.shape(source)))


def _places(node: fx.Node, source: fx.Node, flow: Flow) -> tuple[int, range]:
    """The dimension that is sliced, and the places that are taken."""
    if node.target is operator.getitem:
        split: Any = node.args[0]
        part: Any = node.args[1]
        dim = _split_dimension(split, source, flow)
        sizes = [int(value.shape[dim]) for value in split.meta["val"]]
        begin = sum(sizes[:part])
        return dim, range(begin, begin + sizes[part])
    values: list[Any] = [*node.args[1:], *(0, None, None, 1)[len(node.args) - 1 :]]
    if operation_name(node) == "narrow":
        values = [node.args[1], node.args[2], node.args[2] + node.args[3], 1]  # type: ignore[operator]
    dim = values[0] % len(flow.shape(source))
    size = flow.shape(source)[dim]
    return dim, range(size)[slice(values[1], values[2], values[3])]


class Position(Channelwise):
    """One position of a dimension that is not the channels'."""

    def dim(self, node: fx.Node, flow: Flow) -> int | None:
        return flow.channels[self.source(node)].dim

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before = self.incoming(node, flow)
        return before.at(_without(before.dim, _gone(node, flow)))

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        held = super().write(node, writer, wanted)
        return Held(held.value, _without(held.dim, _gone(node, writer.flow)), held.kept)


def _gone(node: fx.Node, flow: Flow) -> tuple[int, ...]:
    """Dimensions that the result lacks."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    ndim = len(flow.shape(source))
    given: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    dims = tuple(one % ndim for one in ([given] if isinstance(given, int) else given))
    kept = len(flow.shape(node)) == ndim
    return () if kept else dims


def _without(dim: int | None, gone: tuple[int, ...]) -> int | None:
    return None if dim is None else dim - sum(one < dim for one in gone)


class Reduction(Position):
    """A mean, maximum or minimum over positions: a constant stays one. A sum, or another one: zeros do."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        found = super().channels(node, flow)
        if operation_name(node) in ("mean", "amax", "amin"):
            return found
        return (
            found.only(found.value == 0) if operation_name(node) == "sum" else Channels.unknown(found.dim, found.count)
        )


class Padding(Channelwise):
    """Of positions, and of channels: those that are added are constant."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before, value = self.incoming(node, flow), _padding_value(node)
        front, back, around = _widths(node, before.dim)
        if around and value is not None:
            before = before.only(before.value == value)
        added = torch.full((front + back,), 0.0 if value is None else value, dtype=torch.float64)
        known = torch.ones(front + back, dtype=torch.bool)
        return Channels(
            before.dim,
            torch.cat([known[:front], before.known, known[front:]]),
            torch.cat([added[:front], before.value, added[front:]]),
        )

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        source = self.source(node)
        dim = flow.channels[source].dim
        front, back, _ = _widths(node, dim)
        flow.need(source, dim, wanted[front : len(wanted) - back])

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        source = self.source(node)
        dim = writer.flow.channels[source].dim
        front, back, around = _widths(node, dim)
        held = writer.take(source, dim, wanted[front : len(wanted) - back])
        kept = tuple(one + front if one != FILLER else FILLER for one in held.kept)
        if not around:
            return Held(held.value, dim, kept if dim is not None else held.kept)
        widths = list(node.args[1])  # type: ignore[arg-type]
        place = _place_of(dim, len(writer.flow.shape(source)))
        if dim is not None and place < len(widths):
            widths[place : place + 2] = [0, 0]
        while len(widths) > 2 and not any(widths[-2:]):
            del widths[-2:]
        return Held(writer.copy(node, (held.value, widths, *node.args[2:])), dim, kept if dim is not None else (0,))


def _widths(node: fx.Node, dim: int | None) -> tuple[int, int, bool]:
    """Channels added before and behind, and whether other dimensions are padded."""
    widths: list[int] = list(node.args[1])  # type: ignore[arg-type]
    source = node.args[0]
    assert isinstance(source, fx.Node)
    place = len(widths) if dim is None else _place_of(dim, source.meta["val"].ndim)
    own = widths[place : place + 2] or [0, 0]
    return own[0], own[1], any(widths[:place]) or any(widths[place + 2 :])


def _place_of(dim: int | None, ndim: int) -> int:
    """Where the widths of a dimension are: they begin with the last one's."""
    return 0 if dim is None else 2 * (ndim - 1 - dim)


def _padding_value(node: fx.Node) -> float | None:
    """The number that is put around; None where it is the value's own (reflection, replication)."""
    name = operation_name(node)
    if name in ("reflection_pad2d", "replication_pad2d"):
        return None
    if name == "pad" and len(node.args) > 2 and node.args[2] != "constant":
        return None
    given = node.args[3 if name == "pad" else 2 :]
    return float(given[0]) if given and given[0] is not None else 0.0  # type: ignore[arg-type]


class Transposition(Channelwise):
    """Another order of dimensions."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before = self.incoming(node, flow)
        return before.at(None if before.dim is None else _order(node, flow).index(before.dim))

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        held = super().write(node, writer, wanted)
        return Held(held.value, writer.flow.channels[node].dim, held.kept)


def _order(node: fx.Node, flow: Flow) -> list[int]:
    """Which dimension of the operand becomes which of the result."""
    source: Any = node.args[0]
    given: Any = node.args[1:]
    order = list(range(len(flow.shape(source))))
    if operation_name(node) == "permute":
        return [one % len(order) for one in given[0]]
    first, second = (0, 1) if operation_name(node) == "t" else (one % len(order) for one in given)
    order[first], order[second] = order[second], order[first]
    return order


class Reshaping(Channelwise):
    """The same numbers in another shape. A channel stays one, or becomes several, as when positions are flattened into
    the channels before a linear layer. Channels that are split into groups are not followed."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before, found = self.incoming(node, flow), self._found(node, flow)
        if found is None:
            return Channels.whole()
        dim, columns = found
        return Channels(dim, before.known.repeat_interleave(columns), before.value.repeat_interleave(columns))

    def _found(self, node: fx.Node, flow: Flow) -> tuple[int, int] | None:
        dim = self.dim(node, flow)
        return None if dim is None else _reshaped(self.source(node), node, dim, flow)

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        found, source = self._found(node, flow), self.source(node)
        if found is None:
            flow.need_all(source)
        else:
            flow.need(source, flow.channels[source].dim, wanted.view(-1, found[1]).any(1))

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        found, source = self._found(node, writer.flow), self.source(node)
        dynamic = [not isinstance(size, int) for size in node.meta["val"].shape]
        if found is None or sum(dynamic) > 1:
            args, kwargs = fx.map_arg((node.args, node.kwargs), writer.argument)
            made = writer.copy(node, args, kwargs)
            if found is None:
                return writer.whole(made)
            return writer.held_in_full(made, found[0], writer.flow.shape(node)[found[0]])
        dim, columns = found
        held = writer.take(source, writer.flow.channels[source].dim, wanted.view(-1, columns).any(1))
        kept = tuple(one * columns + k if one != FILLER else FILLER for one in held.kept for k in range(columns))
        shape = [-1 if dynamic[d] else size for d, size in enumerate(writer.flow.shape(node))]
        shape[dim] = len(kept)
        return Held(writer.call(aten.reshape.default, held.value, shape), dim, kept)


def _reshaped(source: fx.Node, node: fx.Node, dim: int, flow: Flow) -> tuple[int, int] | None:
    """Where the channels of dimension `dim` are afterwards, and how many columns each has become."""
    before, shape = flow.shape(source), flow.shape(node)
    prefix, count, grew = math.prod(before[:dim]), before[dim], _has_batch(source, dim)
    for place, size in enumerate(shape):
        same = math.prod(shape[:place]) == prefix and _has_batch(node, place) == grew
        if same and size % count == 0 and isinstance(node.meta["val"].shape[place], int):
            return place, size // count
    return None


def _has_batch(node: fx.Node, end: int) -> bool:
    """Whether any dimension before `end` depends on the number of images."""
    return any(not isinstance(size, int) for size in node.meta["val"].shape[:end])


class Expansion(Channelwise):
    """Copies along dimensions of one; written with the sizes that are left."""

    def channels(self, node: fx.Node, flow: Flow) -> Channels:
        before = self.incoming(node, flow)
        found = _expanded(node, flow)
        return Channels.whole() if found is None else before.at(found)

    def require(self, node: fx.Node, flow: Flow, wanted: Tensor) -> None:
        if _expanded(node, flow) is None:
            flow.need_all(self.source(node))
        else:
            super().require(node, flow, wanted)

    def write(self, node: fx.Node, writer: Writer, wanted: Tensor) -> Held:
        found = _expanded(node, writer.flow)
        if found is None:
            args, kwargs = fx.map_arg((node.args, node.kwargs), writer.argument)
            return writer.whole(writer.copy(node, args, kwargs))
        held = writer.take(self.source(node), self.dim(node, writer.flow), wanted)
        sizes = [writer.argument(one) if isinstance(one, fx.Node) else one for one in node.args[1]]  # type: ignore[union-attr]
        sizes[found] = len(held.kept)
        return Held(writer.call(aten.expand.default, held.value, sizes), found, held.kept)


def _expanded(node: fx.Node, flow: Flow) -> int | None:
    source: Any = node.args[0]
    dim, shape = flow.channels[source].dim, flow.shape(node)
    if dim is None:
        return None
    place = dim + len(shape) - len(flow.shape(source))
    return place if flow.shape(source)[dim] == shape[place] else None
