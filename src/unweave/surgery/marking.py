"""The captured graph with a mask behind every site, and what in it is the same for all images worked out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from unweave.network.graph import NetworkGraph, copy_graph, gives_tensor
from unweave.network.sites import Site, nodes_of_sites
from unweave.network.tapping import insert_at_site


def masked(value: Tensor, position: int) -> Tensor:
    """Marks where the masks of site `position` apply. It is only ever read, never run."""
    raise NotImplementedError(f"the mask of site {position} is no operation")


@dataclass(frozen=True)
class MarkedGraph:
    """A graph in which `masked(value, position)` stands behind each site's value.

    `static`: the numbers of every value that no image has a part in. `paths`: where in the network's modules a node is.
    `masks`: `Bool[channels]` of every site.
    """

    graph: fx.Graph
    static: dict[fx.Node, Tensor]
    names: dict[fx.Node, str]
    sites: Sequence[Site]
    masks: Sequence[Tensor]

    @property
    def images(self) -> fx.Node:
        """The images."""
        node: fx.Node = next(node for node in self.graph.nodes if node.op == "placeholder")
        return node

    @property
    def output(self) -> fx.Node:
        """The class scores."""
        returned = next(node for node in self.graph.nodes if node.op == "output").args[0]
        assert isinstance(returned, fx.Node)
        return returned

    def name(self, node: fx.Node) -> str:
        """The public name of a node's value (the graph's own where it has none)."""
        return self.names.get(node, node.name)


def mark(captured: NetworkGraph, sites: Sequence[Site], masks: Sequence[Tensor]) -> MarkedGraph:
    """The graph of `captured` with the mask `Bool[channels]` of every site behind its value."""
    nodes = nodes_of_sites(captured, sites)
    graph, mapping = copy_graph(captured.graph)
    names = {copied: captured.names[node.name] for node, copied in mapping.items() if node.name in captured.names}
    for position, node in enumerate(nodes):
        value = mapping[node]
        mark = insert_at_site(graph, value, sites[position], masked, (position,))
        names[mark] = names[value]
    return MarkedGraph(graph, _static_values(graph, captured), names, sites, masks)


def _static_values(graph: fx.Graph, captured: NetworkGraph) -> dict[fx.Node, Tensor]:
    """What can be computed without images (weights that are normalised in the graph, tables of positions)."""
    found: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "get_attr":
            found[node] = captured.tensors[str(node.target)]
        elif node.op == "call_function" and _repeats(node) and all(one in found for one in node.all_input_nodes):
            args, kwargs = fx.map_arg((node.args, node.kwargs), found.__getitem__)
            with torch.no_grad():
                found[node] = node.target(*args, **kwargs)
    return {node: value for node, value in found.items() if isinstance(value, Tensor) and gives_tensor(node)}


def _repeats(node: fx.Node) -> bool:
    """Whether the operation gives the same numbers every time: what draws random ones does not."""
    return torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ())
