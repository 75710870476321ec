"""The graph of a sparse network: convolutions hand on the channels that they computed, and where those belong."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from unweave.decoupling.controlled import Controller
from unweave.decoupling.layers import Layer, before_padding
from unweave.decoupling.sparse.convolution import Shared, SparseConvolution
from unweave.decoupling.sparse.selection import add, concatenate, padded, widened
from unweave.errors import CaptureError
from unweave.network.graph import NetworkGraph, concrete_shape, gives_tensor, operation_name
from unweave.network.operations import Effect, operation_of

aten = torch.ops.aten
_NEW_MEMORY = ("conv2d", "relu", "add")
_SETTINGS = ("stride", "padding", "dilation", "groups")


def sparse_graph(
    folded: NetworkGraph, layers: list[Layer], controllers: Mapping[str, Controller], shared: Shared
) -> tuple[fx.GraphModule, list[SparseConvolution]]:
    """A module images -> class scores that computes what `folded` does with its controlled convolutions masked, and its
    ungrouped convolutions in the order they run.

    `folded` is the network without controlling modules, batch norms folded; `layers` its convolutions in graph order.

    Raises
    ------
    CaptureError
        If the norm of a controlled convolution was not folded into it.
    """
    rewriting = _Rewriting(folded, shared)
    names = iter(layers)
    for node in folded.graph.nodes:
        if node.op == "call_function" and operation_name(node) == "conv2d":
            layer = next(names)
            if layer.convolution in controllers and layer.norm is not None:
                _check_folded(node, layer)
            rewriting.convolution(node, layer, controllers.get(layer.convolution))
        else:
            rewriting.other(node)
    return rewriting.module(), list(rewriting.convolutions.values())


def _check_folded(node: fx.Node, layer: Layer) -> None:
    """A norm behind the gates would make the channels that were not computed non-zero."""
    if any(operation_name(user) == "batch_norm" for user in node.users):
        raise CaptureError(
            f"the norm {layer.norm} could not be folded into the convolution {layer.convolution}, so its filters "
            "cannot be left out; use the decoupled network itself"
        )


class _Rewriting:
    """One walk over the graph. A value of the old graph is one or two of the new: `values`, and `held` where it may be
    compact (whether it is, is known at run time)."""

    def __init__(self, folded: NetworkGraph, shared: Shared) -> None:
        self.folded, self.shared = folded, shared
        self.graph = fx.Graph()
        self.values: dict[fx.Node, fx.Node] = {}
        self.held: dict[fx.Node, fx.Node] = {}
        self.wide: dict[fx.Node, fx.Node] = {}
        self.makers: dict[fx.Node, set[str]] = {}
        self.convolutions: dict[str, SparseConvolution] = {}

    def module(self) -> fx.GraphModule:
        for node in reversed(list(self.graph.nodes)):
            if node.op == "get_attr" and not node.users:
                self.graph.erase_node(node)
        self.graph.lint()
        modules = {_attribute(i): one for i, one in enumerate(self.convolutions.values())}
        return fx.GraphModule({**self.folded.tensors, **modules}, self.graph)

    def convolution(self, node: fx.Node, layer: Layer, controller: Controller | None) -> None:
        name = layer.convolution
        source, weight, *others = node.args
        bias, *settings = others or [None]  # what has its default is left out
        named = dict(zip(_SETTINGS, settings, strict=False))
        fixed = all(one is None or (isinstance(one, fx.Node) and one.op == "get_attr") for one in (weight, bias))
        if named.get("groups", 1) != 1 or not fixed or name in self.convolutions:
            self.other(node)
            return
        tensors = [self.folded.tensors[str(one.target)] if isinstance(one, fx.Node) else None for one in (weight, bias)]
        assert tensors[0] is not None
        assert isinstance(source, fx.Node)
        made = SparseConvolution(name, tensors[0], tensors[1], named, controller, self.shared)
        made.begins_compact = source in self.held
        target = _attribute(len(self.convolutions))
        self.convolutions[name] = made
        arguments: tuple[fx.Node | None, ...] = (self.values[source], self.held.get(source))
        if controller is not None and layer.pads:
            given = before_padding(node, layer.pads)
            arguments += (self.values[given], self.held.get(given))
        both = self.graph.create_node("call_module", target, arguments, name=f"both_of_{node.name}")
        self._take_apart(node, both)
        if controller is None:
            del self.held[node]
        else:
            self.makers[node] = {name}

    def _take_apart(self, node: fx.Node, both: fx.Node) -> None:
        self.values[node] = self.graph.call_function(operator.getitem, (both, 0))
        self.held[node] = self.graph.call_function(operator.getitem, (both, 1))

    def other(self, node: fx.Node) -> None:
        sources = [source for source in node.all_input_nodes if source in self.held]
        padding = _zero_padding(node)
        if _is_relu(node) and _is_spent(node.all_input_nodes[0], node):
            source = node.all_input_nodes[0]
            self.values[node] = self.graph.call_function(torch.relu_, (self.values[source],))
            self._as_its_source(node, source)
        elif sources and (_keeps_compact(node) or _slices_positions(node)):
            self.values[node] = self.graph.node_copy(node, self.values.__getitem__)
            self._as_its_source(node, sources[0])
        elif padding is not None and (sources or any(padding[4:])):
            self._pad(node, padding)
        elif _is_sum(node):
            self._add(node)
        elif sources and _joins_channels(node):
            self._concatenate(node)
        elif sources and operation_name(node) == "sym_size" and node.args[1] != 1:
            self.values[node] = self.graph.node_copy(node, self.values.__getitem__)
        else:
            self.values[node] = self.graph.node_copy(node, self._full)

    def _as_its_source(self, node: fx.Node, source: fx.Node) -> None:
        """`node` holds the channels that `source` holds."""
        if source in self.held:
            self.held[node] = self.held[source]
            self.makers[node] = self.makers[source]

    def _add(self, node: fx.Node) -> None:
        left, right = node.args[:2]
        assert isinstance(left, fx.Node)
        assert isinstance(right, fx.Node)
        arguments = (self.values[left], self.held.get(left), self.values[right], self.held.get(right))
        spent = tuple(value not in self.held and _is_spent(value, node) for value in (left, right))
        self._take_apart(node, self.graph.call_function(add, (*arguments, spent)))
        if left in self.held and right in self.held:
            self.makers[node] = self.makers[left] | self.makers[right]
            return
        del self.held[node]
        self._mark_widened(*(value for value in (left, right) if value in self.held))

    def _pad(self, node: fx.Node, padding: list[int]) -> None:
        source, shape = node.all_input_nodes[0], concrete_shape(node)
        assert shape is not None
        before = padding[4] if len(padding) > 4 else 0
        arguments = (self.values[source], self.held.get(source), before, shape[1], padding[:4])
        self._take_apart(node, self.graph.call_function(padded, arguments))
        self.makers[node] = self.makers.get(source, set())

    def _concatenate(self, node: fx.Node) -> None:
        parts: Any = node.args[0]
        widths = [(concrete_shape(part) or ())[1] for part in parts]
        arguments = ([self.values[part] for part in parts], [self.held.get(part) for part in parts], widths)
        self._take_apart(node, self.graph.call_function(concatenate, arguments))
        self.makers[node] = set().union(*(self.makers.get(part, set()) for part in parts))

    def _full(self, node: fx.Node) -> fx.Node:
        """All channels of `node` in the new graph."""
        if node not in self.held:
            return self.values[node]
        if node not in self.wide:
            self.wide[node] = self.graph.call_function(widened, (self.values[node], self.held[node]))
            self._mark_widened(node)
        return self.wide[node]

    def _mark_widened(self, *nodes: fx.Node) -> None:
        for node in nodes:
            for name in self.makers[node]:
                self.convolutions[name].ends_compact = False


def _attribute(position: int) -> str:
    return f"convolution_{position}"


def _keeps_compact(node: fx.Node) -> bool:
    """Whether every channel of `node` is made from the same channel alone, alike for all, and zero from zero."""
    tensors = [source for source in node.all_input_nodes if not _is_number(source)]
    return operation_of(node).keeps_zero and len(tensors) == 1 and _is_map(node) and _is_map(tensors[0])


def _slices_positions(node: fx.Node) -> bool:
    """Whether `node` takes some rows or columns of a map."""
    sliced = operation_name(node) == "slice" and _is_map(node) and _is_map(node.all_input_nodes[0])
    return sliced and node.args[1:2] not in ((), (0,), (1,), (-3,), (-4,))


def _zero_padding(node: fx.Node) -> list[int] | None:
    """How many zeros `node` adds at each side of a map's dimensions, the last first; None if it does anything else."""
    if operation_of(node).effect is not Effect.PAD or node.kwargs or not _is_map(node):
        return None
    widths, *others = node.args[1:]
    if operation_name(node) == "pad":
        mode, *others = others or ["constant"]
        if mode != "constant":
            return None
    elif operation_name(node) != "constant_pad_nd":
        return None
    assert isinstance(widths, list | tuple)
    added = list(widths)
    plain = all(isinstance(one, int) and one >= 0 for one in added) and len(added) <= 6
    return added if plain and others in ([], [None], [0]) else None


def _is_relu(node: fx.Node) -> bool:
    return node.op == "call_function" and operation_name(node) == "relu"


def _is_number(node: fx.Node) -> bool:
    return not isinstance(node.meta.get("val"), torch.Tensor | tuple | list) and node.op == "call_function"


def _is_map(node: fx.Node) -> bool:
    """Whether the value is one tensor `[batch, channels, height, width]`."""
    shape = concrete_shape(node) if gives_tensor(node) else None
    return shape is not None and len(shape) == 4


def _is_spent(value: fx.Node, reader: fx.Node) -> bool:
    """Whether `reader` reads `value` last, and what made or read it before has no memory in common with it."""
    others = [user for user in value.users if user is not reader]
    fresh = all(node.op == "call_function" and operation_name(node) in _NEW_MEMORY for node in (value, *others))
    return fresh and all(user < reader for user in others)


def _is_sum(node: fx.Node) -> bool:
    """Whether two values of one shape are added, channel by channel."""
    if node.target is not aten.add.Tensor or node.kwargs.get("alpha", 1) != 1:
        return False
    values = node.args[:2]
    if not all(isinstance(value, fx.Node) and _is_map(value) for value in values):
        return False
    return len({concrete_shape(value) for value in (*values, node) if isinstance(value, fx.Node)}) == 1


def _joins_channels(node: fx.Node) -> bool:
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    return operation_of(node).effect is Effect.CONCATENATE and dim in (1, -3) and _is_map(node)
