"""Where the images of a batch are in a value that has them merged with windows, heads or tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx

from unweave.network.graph import operation_name
from unweave.network.layouts import reduced_dims
from unweave.network.operations import ALONG_ONE_DIMENSION, Effect, computed_from_images, data_inputs, operation_of

BATCH = 1_000_003
"""Stands for the batch size: a prime, so that a size that it divides has the batch in it."""


@dataclass(frozen=True)
class BatchPlace:
    """The batch is part of dimension `dim`, with `outer` things around each batch there and `inner` in each image.

    `BatchPlace(0, 1, 1)` is the batch alone in front; `BatchPlace(0, 1, 16)` has 16 windows for each image, image by
    image; `BatchPlace(1, 1, 1)` tokens in front of it.
    """

    dim: int
    outer: int
    inner: int

    @property
    def image_by_image(self) -> bool:
        """Whether the first dimension can be seen as the batch and what each image has there."""
        return self.dim == 0 and self.outer == 1


def sizes_of(node: fx.Node) -> tuple[int, ...] | None:
    """The shape of a node's value for a batch of `BATCH` (of the first, where there are several); None if it has none
    or depends on what is in the images."""
    value = node.meta.get("val")
    if isinstance(value, tuple | list) and value:
        value = value[0]
    if not isinstance(value, Tensor):
        return None
    found = [_size(size) for size in value.shape]
    return None if None in found else tuple(size for size in found if size is not None)


def _size(size: int | torch.SymInt) -> int | None:
    if isinstance(size, int):
        return size
    expression = size.node.expr
    symbols = expression.free_symbols
    if len(symbols) != 1:
        return None
    found = expression.subs(symbols.pop(), BATCH)
    return int(found) if found.is_integer else None


def batch_places(graph: fx.Graph) -> dict[fx.Node, BatchPlace]:
    """The place of the batch in every value that depends on the images and where it could be followed."""
    computed = computed_from_images(graph)
    sizes = {node: size for node in computed if (size := sizes_of(node)) is not None}
    places: dict[fx.Node, BatchPlace] = {}
    for node in graph.nodes:
        if node not in sizes:
            continue
        if node.op == "placeholder":
            places[node] = BatchPlace(0, 1, 1)
            continue
        found: set[BatchPlace | None] = set()
        for source in data_inputs(node, computed):
            if source in places:
                found.add(_followed(node, sizes[node], sizes[source], places[source]))
            elif any(size % BATCH == 0 for size in sizes.get(source, (0,))):
                found.add(None)
        if len(found) == 1 and (place := found.pop()) is not None:
            places[node] = place
    return places


def _followed(node: fx.Node, shape: tuple[int, ...], before: tuple[int, ...], place: BatchPlace) -> BatchPlace | None:
    effect, name = operation_of(node).effect, operation_name(node)
    if effect is Effect.UNKNOWN:
        return None
    dim = place.dim
    if name in ALONG_ONE_DIMENSION and int(cast(Any, node.args[1])) % len(before) == dim:
        return None
    if effect is Effect.MOVE and name != "expand":
        order = order_of(node, len(before))
        return _reshaped(shape, before, place) if order is None else _moved_to(order.index(dim), place)
    if len(shape) < len(before):
        gone = _gone(node, len(before))
        dim = dim - sum(one < dim for one in gone) if dim not in gone and len(gone) == len(before) - len(shape) else -1
    else:
        dim += len(shape) - len(before)
    return _moved_to(dim, place) if 0 <= dim < len(shape) and shape[dim] == before[place.dim] else None


def _moved_to(dim: int, place: BatchPlace) -> BatchPlace:
    return BatchPlace(dim, place.outer, place.inner)


def order_of(node: fx.Node, ndim: int) -> list[int] | None:
    """The dimensions of the operand, in the order that a permutation puts them; None for other operations."""
    name = operation_name(node)
    arguments: Any = node.args
    order = list(range(ndim))
    if name == "permute":
        return [int(dim) % ndim for dim in arguments[1]]
    if name in ("transpose", "t"):
        first, second = (0, 1) if name == "t" else (int(dim) % ndim for dim in arguments[1:3])
        order[first], order[second] = order[second], order[first]
        return order
    return None


def _reshaped(shape: tuple[int, ...], before: tuple[int, ...], place: BatchPlace) -> BatchPlace | None:
    """The numbers keep their order, so the batch keeps its stride."""
    stride = place.inner * math.prod(before[place.dim + 1 :])
    dim = next(dim for dim, size in enumerate(shape) if size % BATCH == 0)
    behind = math.prod(shape[dim + 1 :])
    inner, left = divmod(stride, behind)
    outer, rest = divmod(shape[dim], BATCH * inner) if inner else (0, 1)
    return BatchPlace(dim, outer, inner) if not left and not rest else None


def _gone(node: fx.Node, ndim: int) -> set[int]:
    """Dimensions that a selection of one position, or a reduction, takes away."""
    if operation_of(node).effect is Effect.REDUCE:
        return reduced_dims(node, ndim) or set()
    dim: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    return {dim % ndim} if isinstance(dim, int) else set()
