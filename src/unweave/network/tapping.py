"""Running a captured graph with a hand on its sites: recording and gating are the same mechanism.

The tapped module calls `tap(position, value)` at every site and goes on with what that returns. A tap that stores
records, one that multiplies gates; the graph is built once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from unweave.errors import NumericError
from unweave.network.graph import NetworkGraph, Tap, build_module, copy_graph
from unweave.network.sites import Site, nodes_of_sites

aten = torch.ops.aten
_MAKE_NEW_MEMORY = (aten.conv2d.default, aten.add.Tensor, aten.batch_norm.default)
"""Operations whose result shares no memory with what they read, and whose gradient does not need it."""


def _call_tap(value: Tensor, tap: Tap, position: int) -> Tensor:
    return tap(position, value)


class TappedNetwork(nn.Module):
    """`forward(images, tap)` -> class scores, with `tap` called at every site in forward order."""

    def __init__(self, captured: NetworkGraph, sites: Sequence[Site]) -> None:
        super().__init__()
        self.sites = tuple(sites)
        nodes = nodes_of_sites(captured, sites)
        graph, mapping = copy_graph(captured.graph)
        images = next(node for node in graph.nodes if node.op == "placeholder")
        with graph.inserting_after(images):
            tap = graph.placeholder("tap")
        for position, node in enumerate(nodes):
            insert_at_site(graph, mapping[node], self.sites[position], _call_tap, (tap, position))
        _relu_in_place(graph)
        graph.lint()
        self.graph_module: fx.GraphModule = build_module(graph, captured.tensors)

    def forward(self, images: Tensor, tap: Tap) -> Tensor:
        scores: Tensor = self.graph_module(images, tap)
        return scores


def insert_at_site(
    graph: fx.Graph, value: fx.Node, site: Site, target: Callable[..., Any], rest: tuple[Any, ...]
) -> fx.Node:
    """Put `target(value, *rest)` behind the value of a site: everything that read the value reads the result.

    A value with windows or heads merged with the batch is reshaped to `[batch, *site.shape]` for it, and back.
    """
    own, users = value.meta["val"], list(value.users)
    merged = own.ndim != len(site.shape) + 1
    with graph.inserting_after(value):
        seen = graph.call_function(aten.reshape.default, (value, [-1, *site.shape])) if merged else value
    seen.meta = dict(value.meta)
    if merged:
        batch = own.numel() // math.prod(site.shape)
        seen.meta["val"] = own.new_empty((batch, *site.shape))
    with graph.inserting_after(seen):
        result = graph.call_function(target, (seen, *rest))
    result.meta = dict(seen.meta)
    last = result
    if merged:
        with graph.inserting_after(result):
            last = graph.call_function(aten.reshape.default, (result, [-1, *own.shape[1:]]))
        last.meta = dict(value.meta)
    for user in users:
        user.replace_input_with(value, last)
    return result


def _relu_in_place(graph: fx.Graph) -> None:
    """Let a ReLU overwrite a value that was made for it alone, and that no gradient needs: less memory is moved."""
    for node in graph.nodes:
        if node.target is not aten.relu.default:
            continue
        source = node.args[0]
        if source.target in _MAKE_NEW_MEMORY and len(source.users) == 1:
            node.target = aten.relu_.default


class Recorder:
    """A tap that keeps every site's value and changes nothing."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []

    def __call__(self, position: int, value: Tensor) -> Tensor:
        self.values.append(value)
        return value


class Multiplier:
    """A tap that multiplies the channels of every site with gates.

    `gates[i]` is `[channels]` for all images, or `[batch, channels]` for each its own.
    """

    def __init__(self, sites: Sequence[Site], gates: Sequence[Tensor]) -> None:
        self.sites, self.gates = sites, gates

    def __call__(self, position: int, value: Tensor) -> Tensor:
        gate = self.gates[position]
        return value * along_channels(gate, value.ndim, self.sites[position].dim).to(value.dtype)


def along_channels(gate: Tensor, ndim: int, dim: int) -> Tensor:
    """View `gate` (`[channels]` or `[batch, channels]`) so that it broadcasts over a value with channels in `dim`."""
    shape = [1] * ndim
    shape[dim] = gate.shape[-1]
    if gate.ndim == 2:
        shape[0] = gate.shape[0]
    return gate.view(shape)


def positions_of(value: Tensor, dim: int) -> tuple[int, ...]:
    """All dimensions of `value` but the batch and the channels."""
    return tuple(d for d in range(1, value.ndim) if d != dim)


def check_finite(values: Sequence[Tensor], scores: Tensor, sites: Sequence[Site]) -> None:
    """Refuse NaN and infinity, naming the first site that has any.

    Raises
    ------
    NumericError
    """
    for site, value in zip(sites, values, strict=True):
        if not torch.isfinite(value).all():
            raise NumericError(f"the network's activations contain NaN or infinity, first at site {site.name!r}")
    if not torch.isfinite(scores).all():
        raise NumericError("the network's class scores contain NaN or infinity")
