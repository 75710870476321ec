"""Writing the smaller graph: values that hold some of their channels, and how others are put back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from unweave.errors import ExtractionError
from unweave.slicing.channels import Channels, positions
from unweave.slicing.weights import FILLER, rounded_up

if TYPE_CHECKING:
    from unweave.surgery.flow import Flow

aten = torch.ops.aten
_GATHERING = 64
"""Moving one channel's number in a gather takes as long as about so many multiply-accumulates."""


@dataclass(frozen=True)
class Held:
    """A value of the smaller graph that holds the channels `kept` of the whole network's value, in this order, along
    `dim`. Fillers among them mean nothing, whatever their numbers. Where `dim` is None it is the whole value."""

    value: fx.Node
    dim: int | None
    kept: tuple[int, ...]


class Writer:
    """Writes the operations of a `Flow` into `graph`, with `tensors` for its weights by name.

    `origins[node name]` is the public name of the value that a node of the smaller graph stands for; `sources[tensor
    name]`, where a tensor was cut from one of the whole network's, is the name of that.
    """

    def __init__(self, flow: Flow, round_to: int) -> None:
        self.flow, self.round_to = flow, round_to
        self.graph = fx.Graph()
        self.tensors: dict[str, Tensor] = {}
        self.origins: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        self.images = self.graph.placeholder("images")
        self.images.meta = dict(flow.marked.images.meta)
        self._classes: tuple[int, ...] = ()
        self._batch: fx.Node | None = None
        self._held: dict[fx.Node, Held] = {}
        self._placed: dict[tuple[fx.Node, int, tuple[int, ...]], fx.Node] = {}
        self._attributes: dict[fx.Node, fx.Node] = {}
        self._current = flow.marked.images
        self.device = next((one.device for one in flow.static.values()), torch.device("cpu"))

    def write(self, classes: Sequence[int]) -> None:
        """Write everything that the class scores at `classes` are made of."""
        self._classes = tuple(classes)
        for node in self.flow.nodes:
            wanted = self.flow.wanted(node)
            if bool(wanted.any()):
                self._current = node
                self._held[node] = self.flow.rules[node].write(node, self, wanted)
        self._current = self.flow.marked.output
        self.graph.output(self.place(self.flow.marked.output, 1, classes))

    def call(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        """A new operation."""
        origin = self.flow.marked.name(self._current)
        name = "_".join(re.split(r"\W+", origin.rpartition(":")[0] or origin))
        node = self.graph.create_node("call_function", target, args, kwargs, name=name)
        self.origins[node.name] = origin
        return node

    def copy(self, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any] | None = None) -> fx.Node:
        """The operation of `node` on other operands."""
        return self.call(node.target, *args, **(dict(node.kwargs) if kwargs is None else kwargs))  # type: ignore[arg-type]

    def attribute(self, tensor: Tensor, cut_from: fx.Node | None = None) -> fx.Node:
        """A weight of the smaller network, `cut_from` a value of the whole one."""
        name = f"tensor_{len(self.tensors)}"
        if cut_from is not None and cut_from.op == "get_attr":
            self.sources[name] = str(cut_from.target)
        self.tensors[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
        return self.graph.get_attr(name)

    def index(self, order: Sequence[int]) -> fx.Node:
        """Positions, as a tensor of the smaller network."""
        return self.attribute(torch.tensor(list(order), dtype=torch.long, device=self.device))

    def whole(self, value: fx.Node) -> Held:
        """A value whose channels are not followed."""
        return Held(value, None, (0,))

    def held_in_full(self, value: fx.Node, dim: int, count: int) -> Held:
        """A value that holds all of its channels."""
        return Held(value, dim, tuple(range(count)))

    def rounded(self, wanted: Tensor) -> tuple[int, ...]:
        """The order of channels to compute: those `wanted`, and fillers up to a multiple of `round_to`. Class scores
        are computed in the order that they are returned in."""
        if self._current is self.flow.marked.output:
            return tuple(one for one in self._classes if wanted[one])
        return rounded_up(positions(wanted), self.round_to, len(wanted))

    def holding(self, node: fx.Node, dim: int) -> Held | None:
        """What is held of a value along `dim`; None if nothing is."""
        found = self._held.get(node)
        if found is None or found.dim == dim:
            return found
        return self.held_in_full(self.full(node), dim, self.flow.shape(node)[dim])

    def take(self, node: fx.Node, dim: int | None, wanted: Tensor) -> Held:
        """A value with at least the `wanted` channels, as it is held where that is enough."""
        if dim is None:
            return self.whole(self.full(node))
        held = self.holding(node, dim)
        order = positions(wanted)
        if held is not None and set(order) <= set(held.kept):
            return held
        return Held(self.place(node, dim, order), dim, order)

    def compact(self, node: fx.Node, dim: int, wanted: Tensor, work: int) -> Held:
        """As `take`; channels that are held and not wanted are left out where that takes less time than they do.

        `work`: multiply-accumulates that each channel takes, for one position.
        """
        held, order = self.take(node, dim, wanted), positions(wanted)
        spare = len(held.kept) - len(rounded_up(order, self.round_to, len(held.kept)))
        if spare * work > _GATHERING * len(order):
            order = rounded_up(order, self.round_to, len(wanted))
            return Held(self.place(node, dim, order), dim, order)
        return held

    def full(self, node: fx.Node) -> fx.Node:
        """A value with all its channels in their places."""
        found = self._held.get(node)
        if found is not None and found.dim is None:
            return found.value
        channels = self.flow.channels[node]
        if channels.dim is None:
            raise ExtractionError(f"{self.flow.marked.name(node)} is needed and was not computed; please report this")
        return self.place(node, channels.dim, range(channels.count))

    def place(self, node: fx.Node, dim: int, order: Sequence[int]) -> fx.Node:
        """A value with exactly the channels in `order` along `dim`: constants where they are not held, zeros for
        fillers."""
        held = self.holding(node, dim)
        if held is not None and held.kept == tuple(order):
            return held.value
        key = (node, dim, tuple(order))
        if key not in self._placed:
            self._placed[key] = self._arranged(node, dim, tuple(order), held)
        return self._placed[key]

    def _arranged(self, node: fx.Node, dim: int, order: tuple[int, ...], held: Held | None) -> fx.Node:
        where = {} if held is None else {channel: place for place, channel in enumerate(held.kept)}
        there = [place for place, channel in enumerate(order) if channel != FILLER and channel in where]
        sources = [where[order[place]] for place in there]
        if held is not None and len(there) == len(order):
            return self.picked(held.value, dim, sources, len(held.kept))
        base = self.constants(node, dim, order)
        sizes = [len(order) if d == dim else self._size(node, d) for d in range(len(self.flow.shape(node)))]
        spread = self.call(aten.expand.default, base, sizes)
        if held is None or not there:
            return spread
        values = self.picked(held.value, dim, sources, len(held.kept))
        return self.call(aten.index_copy.default, spread, dim, self.index(there), values)

    def picked(self, value: fx.Node, dim: int, places: Sequence[int], count: int) -> fx.Node:
        """The channels of a value of the smaller graph at `places`, of `count` that it has."""
        if list(places) == list(range(count)):
            return value
        if list(places) == list(range(places[0], places[0] + len(places))):
            return self.call(aten.slice.Tensor, value, dim, places[0], places[0] + len(places))
        return self.call(aten.index_select.default, value, dim, self.index(places))

    def constants(self, node: fx.Node, dim: int, order: Sequence[int]) -> fx.Node:
        """The constant channels of a value in `order` (zeros for the others), of one image and one position."""
        known: Channels = self.flow.along(node, dim)
        values = [0.0 if channel == FILLER else float(known.value[channel]) for channel in order]
        shape = [len(order) if d == dim else 1 for d in range(len(self.flow.shape(node)))]
        dtype = node.meta["val"].dtype
        return self.attribute(torch.tensor(values, dtype=torch.float64).to(self.device, dtype).view(shape))

    def _size(self, node: fx.Node, dim: int) -> int | fx.Node:
        size = node.meta["val"].shape[dim]
        if isinstance(size, int):
            return size
        found = self._batch_size(size)
        if found is not None:
            return found
        held = self._held.get(node)
        if held is None:
            raise ExtractionError(
                f"{self.flow.marked.name(node)} is constant, and its size depends on the number of images in a way "
                "that cannot be written; give masks that keep some of its channels"
            )
        return self.call(aten.sym_size.int, held.value, dim)

    def _batch_size(self, size: Any) -> fx.Node | None:
        batch = self.flow.marked.images.meta["val"].shape[0]
        if isinstance(batch, int) or size.node.expr != batch.node.expr:
            return None
        if self._batch is None:
            with self.graph.inserting_after(self.images):
                self._batch = self.call(aten.sym_size.int, self.images, 0)
        return self._batch

    def argument(self, node: fx.Node) -> Any:
        """What stands in the smaller graph for an operand of an operation that needs all of it."""
        if node in self.flow.static:
            if node not in self._attributes:
                self._attributes[node] = self.attribute(self.flow.static[node], node)
            return self._attributes[node]
        return self.full(node) if self.flow.follows(node) else self.number(node)

    def number(self, node: fx.Node) -> Any:
        """What stands in the smaller graph for a number (a batch size, and what is computed of it)."""
        value = node.meta.get("val")
        if isinstance(value, int | float):
            return value
        if isinstance(value, torch.SymInt) and (found := self._batch_size(value)) is not None:
            return found
        if node.target is aten.sym_size.int:
            source, dim = node.args
            assert isinstance(source, fx.Node)
            assert isinstance(dim, int)
            return self._size(source, dim)
        args, kwargs = fx.map_arg((node.args, node.kwargs), self.argument)
        return self.copy(node, args, kwargs)
