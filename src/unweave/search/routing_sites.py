"""Where critical data routing paths are looked for when nobody says: read from the graph."""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx

from unweave.network.graph import NetworkGraph, concrete_shape, operation_name
from unweave.network.layouts import Layout, layouts
from unweave.network.operations import computed_from_images, data_inputs
from unweave.network.sites import Sites, class_score_nodes, sites_of


def routing_sites(captured: NetworkGraph, logits: str | int | None = None) -> Sites:
    """Block outputs of a network with residual sums; every convolution's output, after its norm and activation, of one
    without. A network that never had positions (a multi-layer perceptron) has its linear layers' outputs.

    Raises
    ------
    SiteError
        If the network has no such values.
    """
    where = layouts(captured.graph)
    if has_residual_sums(captured, where):
        return sites_of(captured, "block", logits)
    found = sites_of(captured, "filter", logits)
    with_positions = [site for site in found if len(site.shape) > 1]
    return Sites(with_positions or found, found.image_shape, found.dtype, logits, found.unknown)


def has_residual_sums(captured: NetworkGraph, where: Mapping[fx.Node, Layout]) -> bool:
    """Whether two values computed from the images, of one shape, are added anywhere before the class scores."""
    computed, scores = computed_from_images(captured.graph), class_score_nodes(captured, where)
    for node in captured.graph.nodes:
        if operation_name(node) != "add" or node in scores or node not in where or where[node].dim is None:
            continue
        shape = concrete_shape(node)
        # A value that is spread over positions or channels (a mean, a bias) makes no block.
        same = [source for source in data_inputs(node, computed) if concrete_shape(source) == shape]
        if len(same) > 1:
            return True
    return False
