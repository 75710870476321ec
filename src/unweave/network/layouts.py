"""Where the channels of every value are: a walk through the graph with the table of operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import fx

from unweave.network.graph import concrete_shape, has_batch_first, operation_name
from unweave.network.operations import (
    ALONG_ONE_DIMENSION,
    Effect,
    computed_from_images,
    data_inputs,
    is_first_result,
    operation_of,
)


@dataclass(frozen=True)
class Layout:
    """Where a value keeps its channels.

    `dim` is the channel dimension (counted from 0 with the batch) and None where channels were lost track of.
    `spatial` tells whether the value still has positions or tokens besides its channels (also merged with the batch).
    `batch_first` tells whether the first dimension is the batch alone: only then can each image have its own gates.
    """

    dim: int | None
    count: int
    spatial: bool
    batch_first: bool = True


def layouts(graph: fx.Graph) -> dict[fx.Node, Layout]:
    """The layout of every tensor value that depends on the images."""
    computed = computed_from_images(graph)
    images = next(node for node in graph.nodes if node.op == "placeholder")
    found: dict[fx.Node, Layout] = {}
    for node in graph.nodes:
        shape = concrete_shape(node) if node in computed else None
        if shape is None:
            continue
        if node.op == "placeholder":
            found[node] = _image_layout(shape)
        elif node.op == "call_function":
            inputs = [source for source in data_inputs(node, computed) if source in found]
            layout = _layout(node, shape, inputs, found, has_batch_first(node, images))
            found[node] = replace(layout, batch_first=has_batch_first(node, images))
    return found


def _image_layout(shape: tuple[int, ...]) -> Layout:
    dim = 1 if len(shape) > 1 else None
    return Layout(dim, shape[1] if dim else 0, len(shape) > 2)


def _layout(
    node: fx.Node,
    shape: tuple[int, ...],
    inputs: list[fx.Node],
    found: Mapping[fx.Node, Layout],
    batch_first: bool,
) -> Layout:
    has_positions = len(shape) > 2 or not batch_first
    lost = Layout(None, 0, has_positions and any(found[source].spatial for source in inputs))
    if not inputs:
        return lost
    source, layout = inputs[0], found[inputs[0]]
    before = concrete_shape(source)
    effect = operation_of(node).effect
    if is_first_result(node):
        return layout
    if effect is Effect.MIX:
        return _mixed(node, shape, layout.spatial and has_positions)
    if effect is Effect.COMBINE:
        return _met(node, shape, inputs, found) or lost
    if effect is Effect.CONCATENATE:
        return _concatenated(node, shape, inputs, found) or lost
    if effect is Effect.MOVE and layout.dim is None:
        return _moved_in_steps(node, found, has_positions) or lost
    if layout.dim is None or before is None:
        return lost
    if effect in (Effect.KEEP, Effect.NORM):
        return layout if shape == before or effect is Effect.KEEP else lost
    if effect is Effect.MOVE:
        return _moved(node, shape, before, layout, has_positions) or lost
    rule = _OF_ONE_OPERAND.get(effect)
    return (rule and rule(node, shape, before, layout)) or lost


def _mixed(node: fx.Node, shape: tuple[int, ...], spatial: bool) -> Layout:
    dim = operation_of(node).mixes % len(shape)
    return Layout(dim, shape[dim], spatial)


def _met(
    node: fx.Node, shape: tuple[int, ...], inputs: list[fx.Node], found: Mapping[fx.Node, Layout]
) -> Layout | None:
    name, args = operation_name(node), cast(Any, node.args)
    if name == "stack":
        return _stacked(node, len(shape), inputs, found)
    if name in ("slice_scatter", "select_scatter"):
        dim = int(args[2] if len(args) > 2 else cast(Any, node.kwargs.get("dim", 0))) % len(shape)
        return _scattered(args[0], args[1], dim, found)
    return _combined(shape, inputs, found)


def _stacked(node: fx.Node, ndim: int, inputs: list[fx.Node], found: Mapping[fx.Node, Layout]) -> Layout | None:
    """Beside each other in a new dimension."""
    layouts = {found[source] for source in inputs}
    own = {(layout.dim, layout.count) for layout in layouts}
    dim, count = own.pop()
    if own or dim is None:
        return None
    new = int(cast(Any, node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0))) % ndim
    return Layout(dim + (new <= dim), count, True)


def _scattered(whole: fx.Node, part: fx.Node, dim: int, found: Mapping[fx.Node, Layout]) -> Layout | None:
    """A part of a value is written anew: of its channels, or the positions of channels that are the same ones."""
    layout, written = found.get(whole), found.get(part)
    if layout is None or layout.dim is None:
        return None
    gone = whole.meta["val"].ndim - part.meta["val"].ndim
    own = layout.dim - (gone and dim < layout.dim)
    same = written is None or (written.dim, written.count) == (own, layout.count)
    return layout if same or dim == layout.dim else None


def _combined(shape: tuple[int, ...], inputs: list[fx.Node], found: Mapping[fx.Node, Layout]) -> Layout | None:
    """Aligned from the right, as broadcasting does. An operand of size 1 there (a gate, a mean) has no say."""
    dims: set[int] = set()
    for source in inputs:
        layout, own = found[source], _before_expansion(source, found)
        if own is None:
            return None
        offset = len(shape) - len(own)
        if layout.dim is not None and own[layout.dim] == shape[layout.dim + offset]:
            dims.add(layout.dim + offset)
        elif layout.dim is None and math.prod(own[1:]) == math.prod(shape[1:]):
            return None
    if len(dims) != 1:
        return None
    dim = dims.pop()
    return Layout(dim, shape[dim], any(found[source].spatial for source in inputs))


def _before_expansion(node: fx.Node, found: Mapping[fx.Node, Layout]) -> tuple[int, ...] | None:
    """The shape of a value; of one without channels that was expanded (a norm over channels), that from before."""
    expanded = operation_name(node) == "expand" and found[node].dim is None
    return concrete_shape(node.all_input_nodes[0] if expanded else node)


def _concatenated(
    node: fx.Node, shape: tuple[int, ...], inputs: list[fx.Node], found: Mapping[fx.Node, Layout]
) -> Layout | None:
    dims = {found[source].dim for source in inputs}
    if len(dims) != 1 or None in dims:
        return None
    dim = dims.pop()
    assert dim is not None
    return Layout(dim, shape[dim], any(found[source].spatial for source in inputs))


def _pooled(node: fx.Node, shape: tuple[int, ...], before: tuple[int, ...], layout: Layout) -> Layout | None:
    dim = layout.dim
    assert dim is not None
    if operation_name(node) in ALONG_ONE_DIMENSION and int(cast(Any, node.args[1])) % len(before) == dim:
        return None
    return Layout(dim, shape[dim], layout.spatial and not _pools_everything(shape, before, layout))


def _padded(node: fx.Node, shape: tuple[int, ...], before: tuple[int, ...], layout: Layout) -> Layout:
    assert layout.dim is not None
    return Layout(layout.dim, shape[layout.dim], layout.spatial)


def _pools_everything(shape: tuple[int, ...], before: tuple[int, ...], layout: Layout) -> bool:
    positions = [size for dim, size in enumerate(before) if dim not in (0, layout.dim)]
    left = [size for dim, size in enumerate(shape) if dim not in (0, layout.dim)]
    return math.prod(left) == 1 and math.prod(positions) > 1


def _moved(
    node: fx.Node, shape: tuple[int, ...], before: tuple[int, ...], layout: Layout, has_positions: bool
) -> Layout | None:
    name = operation_name(node)
    dim = layout.dim
    assert dim is not None
    if name == "permute":
        order = [int(d) % len(before) for d in _argument(node, 1)]
        return Layout(order.index(dim), layout.count, layout.spatial)
    if name in ("transpose", "t"):
        first, second = (0, 1) if name == "t" else (int(d) % len(before) for d in node.args[1:3])  # type: ignore[arg-type]
        moved = second if dim == first else first if dim == second else dim
        return Layout(moved, layout.count, layout.spatial)
    prefix = math.prod(before[:dim])
    for candidate, size in enumerate(shape):
        if candidate and math.prod(shape[:candidate]) == prefix and size == layout.count:
            return Layout(candidate, layout.count, layout.spatial and has_positions)
    return None


def _moved_in_steps(node: fx.Node, found: Mapping[fx.Node, Layout], has_positions: bool) -> Layout | None:
    """Channels that are taken apart and put together again in another order (shuffled): the channels' numbers go the
    same way. They are channels again where a dimension counts each of them once."""
    steps: list[fx.Node] = []
    source = node
    while _rearranges(source) and (source is node or (source in found and found[source].dim is None)):
        steps.append(source)
        source = source.all_input_nodes[0]
    layout, shape = found.get(source), concrete_shape(source)
    if layout is None or layout.dim is None or shape is None:
        return None
    sizes = [-1 if dim == layout.dim else 1 for dim in range(len(shape))]
    values = torch.arange(layout.count).view(sizes).expand(shape)
    for step in reversed(steps):
        rest = fx.map_arg((step.args[1:], dict(step.kwargs)), _number)
        values = cast(Any, step.target)(values, *rest[0], **rest[1])
    for dim in range(1, values.ndim):
        if values.shape[dim] == layout.count:
            rows = values.movedim(dim, 0).reshape(layout.count, -1)
            if bool((rows == rows[:, :1]).all()) and len(set(rows[:, 0].tolist())) == layout.count:
                return Layout(dim, layout.count, layout.spatial and has_positions)
    return None


def _rearranges(node: fx.Node) -> bool:
    return operation_of(node).effect is Effect.MOVE or operation_name(node) in ("clone", "contiguous")


def _number(node: fx.Node) -> Any:
    """The batch size of the capture, and what is computed of it."""
    value = node.meta["val"]
    return value.node.hint if isinstance(value, torch.SymInt) else value


def _selected(node: fx.Node, shape: tuple[int, ...], before: tuple[int, ...], layout: Layout) -> Layout | None:
    dim = layout.dim
    assert dim is not None
    if operation_name(node) in ("pixel_shuffle", "pixel_unshuffle") and dim != len(before) - 3:
        return None
    if operation_name(node) == "getitem":
        parts = operation_of(node.all_input_nodes[0]).effect is Effect.SELECT
        return Layout(dim, shape[dim], layout.spatial) if parts else None  # indices and the like are no channels
    if len(before) == len(shape):  # slices, splits, repetitions
        return Layout(dim, shape[dim], layout.spatial)
    if len(shape) == len(before) - 1 and len(node.args) > 1 and isinstance(node.args[1], int):  # one position
        gone = node.args[1] % len(before)
        if gone == dim:
            return None
        return Layout(dim - (gone < dim), layout.count, layout.spatial and len(shape) > 2)
    return None


def _reduced(node: fx.Node, shape: tuple[int, ...], before: tuple[int, ...], layout: Layout) -> Layout | None:
    dim = layout.dim
    assert dim is not None
    gone = reduced_dims(node, len(before))
    if gone is None or dim in gone:
        return None
    positions = [d for d in range(1, len(before)) if d != dim and d not in gone]
    if len(shape) == len(before):
        return Layout(dim, layout.count, layout.spatial and bool(positions))
    return Layout(dim - sum(d < dim for d in gone), layout.count, layout.spatial and bool(positions))


def reduced_dims(node: fx.Node, ndim: int) -> set[int] | None:
    """The dimensions that a reduction takes away; None where it takes all."""
    dims = _argument(node, 2 if operation_name(node) == "linalg_vector_norm" else 1)
    if dims is None or dims == []:
        return None
    return {int(dim) % ndim for dim in ([dims] if isinstance(dims, int) else dims)}


def _argument(node: fx.Node, position: int) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get("dim")


_Rule = Callable[[fx.Node, tuple[int, ...], tuple[int, ...], Layout], Layout | None]
_OF_ONE_OPERAND: dict[Effect, _Rule] = {
    Effect.POOL: _pooled,
    Effect.PAD: _padded,
    Effect.SELECT: _selected,
    Effect.REDUCE: _reduced,
}
"""Given the node, its shape, its operand's shape and layout."""
