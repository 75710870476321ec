"""Attention heads, read off the graph: which dimension of an attention's result counts them.

An attention ends in a matrix product over heads, `[..., heads, tokens, features]`. What follows merges the heads with
their features into the channels of a projection. So: from every layer that mixes channels go back, over operations that
only rearrange, to a matrix product. The part of the layer's input channels that the product was repeated over counts
the heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import fx

from unweave.network.batch_place import BATCH, BatchPlace, order_of, sizes_of
from unweave.network.graph import operation_name
from unweave.network.operations import Effect, computed_from_images, data_inputs, operation_of

Dimensions = list[list[int]]
"""For every dimension of a value the factors that its size is a product of, the outermost first."""


@dataclass(frozen=True)
class View:
    """How a value is seen image by image: one image's `shape`, and which dimension (0 is the batch) counts what."""

    shape: tuple[int, ...]
    dim: int
    count: int


def attention_heads(graph: fx.Graph, places: dict[fx.Node, BatchPlace]) -> dict[fx.Node, View]:
    """For every attention, the first value behind its matrix product that can be seen head by head, image by image.

    `places` is `batch_places(graph)`. One head alone has no dimension that could be told from others, and is not found.
    """
    computed = computed_from_images(graph)
    found: dict[fx.Node, View] = {}
    for node in graph.nodes:
        if operation_of(node).effect is not Effect.MIX or node not in computed:
            continue
        chain = _back_to_product(node, computed)
        if chain and (heads := _heads(node, chain, places)) is not None:
            found.setdefault(*heads)
    return found


def _back_to_product(mixing: fx.Node, computed: set[fx.Node]) -> list[fx.Node]:
    """The matrix product whose result is rearranged into the input of `mixing`, and all values up to that input."""
    chain: list[fx.Node] = []
    node = mixing
    while len(inputs := data_inputs(node, computed)) == 1:
        node = inputs[0]
        chain.insert(0, node)
        effect = operation_of(node).effect
        if effect is Effect.PRODUCT:
            return chain
        if effect not in (Effect.KEEP, Effect.NORM, Effect.MOVE):
            return []
    return []


def _heads(mixing: fx.Node, chain: list[fx.Node], places: dict[fx.Node, BatchPlace]) -> tuple[fx.Node, View] | None:
    product = chain[0]
    shape, place = sizes_of(product), places.get(product)
    if shape is None or place is None:
        return None
    factors = _Factors()
    dimensions: Dimensions | None = [[factors.new(size)] for size in shape]
    assert dimensions is not None
    batch = factors.new(BATCH)
    dimensions[place.dim] = [factors.new(place.outer), batch, factors.new(place.inner)]
    repeated, seen = [dimensions[dim] for dim in _repeated(product, len(shape))], [dimensions]
    for node in chain[1:]:
        dimensions = _rearranged(node, dimensions, factors)
        if dimensions is None:
            return None
        seen.append(dimensions)
    channels = factors.leaves(dimensions[operation_of(mixing).mixes])
    over = {leaf for dimension in repeated for leaf in factors.leaves(dimension)}
    heads = [leaf for leaf in channels if leaf in over]
    if len(heads) != 1 or batch in channels or len(channels) == 1:
        return None
    for node, found in zip(chain, seen, strict=True):
        if (view := _seen_by(heads[0], batch, found, factors)) is not None:
            return node, view
    return None


def _repeated(product: fx.Node, ndim: int) -> Sequence[int]:
    """The dimensions that a matrix product is repeated over, once for each position there."""
    if operation_name(product) != "einsum":
        return range(ndim - 2)
    equation = str(product.args[0]).replace(" ", "")
    operands, arrow, result = equation.partition("->")
    if not arrow or "." in equation:
        return ()
    return [dim for dim, letter in enumerate(result) if all(letter in one for one in operands.split(","))]


def _rearranged(node: fx.Node, dimensions: Dimensions, factors: _Factors) -> Dimensions | None:
    shape: Any = sizes_of(node)
    if shape is None:
        return None
    if operation_of(node).effect is Effect.MOVE:
        order = order_of(node, len(dimensions))
        return factors.reshaped(dimensions, shape) if order is None else [dimensions[dim] for dim in order]
    return dimensions if [factors.size(one) for one in dimensions] == list(shape) else None


def _seen_by(heads: int, batch: int, dimensions: Dimensions, factors: _Factors) -> View | None:
    """Every dimension taken apart into its factors, if the images come first."""
    parts = [factors.leaves(dimension) for dimension in dimensions]
    if parts[0][:1] != [batch]:
        return None
    nothing = factors.new(1)
    leaves = [*parts[0][1:], *(leaf for part in parts[1:] for leaf in part or [nothing])]
    shape = tuple(factors.sizes[leaf] for leaf in leaves)
    return View(shape, leaves.index(heads) + 1, factors.sizes[heads])


@dataclass
class _Factors:
    """Factors of sizes by number. One that a reshape cuts through is two from then on, everywhere."""

    sizes: dict[int, int] = field(default_factory=dict)
    cut: dict[int, tuple[int, int]] = field(default_factory=dict)

    def new(self, size: int) -> int:
        self.sizes[len(self.sizes)] = size
        return len(self.sizes) - 1

    def leaves(self, factors: list[int]) -> list[int]:
        """The factors as they are now, without those that are 1."""
        found = []
        for one in factors:
            found += self.leaves(list(self.cut[one])) if one in self.cut else [one] if self.sizes[one] > 1 else []
        return found

    def size(self, factors: list[int]) -> int:
        product = 1
        for one in factors:
            product *= self.sizes[one]
        return product

    def reshaped(self, dimensions: Dimensions, shape: Sequence[int]) -> Dimensions | None:
        """The same factors in the same order, under another shape; None if it cuts where there is no factor."""
        waiting = self.leaves([one for dimension in dimensions for one in dimension])[::-1]
        found: Dimensions = []
        for size in shape:
            found.append([])
            while size > 1:
                if not waiting:
                    return None
                factor = waiting.pop()
                if size % self.sizes[factor]:
                    if self.sizes[factor] % size:
                        return None
                    self.cut[factor] = (self.new(size), self.new(self.sizes[factor] // size))
                    factor, rest = self.cut[factor]
                    waiting.append(rest)
                found[-1].append(factor)
                size //= self.sizes[factor]  # noqa: PLW2901 (what is left of it)
        return found
