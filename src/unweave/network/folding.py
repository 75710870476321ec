"""A graph that computes the same with less work: batch norms folded, weights in channels-last order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, fx

from unweave.network.graph import NetworkGraph, copy_graph
from unweave.network.sites import Site, nodes_of_sites

aten = torch.ops.aten
_CONVOLUTIONS = (aten.conv2d.default, aten.conv2d.padding)
"""With padding as numbers, and as "same" or "valid"."""


def fold_batch_norms(captured: NetworkGraph, sites: Sequence[Site] = ()) -> NetworkGraph:
    """Fold every batch norm into the convolution before it, where nothing else reads that convolution.

    A frozen batch norm is `scale * x + shift` per channel, so `conv(x, w) -> norm` equals
    `conv(x, scale * w, shift + scale * bias)`. A convolution whose own output is one of `sites` is left as it is.
    The weights of the given graph are not changed.
    """
    kept = {node.name for node in nodes_of_sites(captured, sites)}
    graph, mapping = copy_graph(captured.graph)
    tensors = dict(captured.tensors)
    original = {copied: node for node, copied in mapping.items()}
    names = {mapping[node].name: captured.names[node.name] for node in mapping if node.name in captured.names}
    for norm in [node for node in graph.nodes if node.target is aten.batch_norm.default]:
        conv = norm.args[0]
        foldable = isinstance(conv, fx.Node) and conv.target in _CONVOLUTIONS and len(conv.users) == 1
        if not foldable or original[conv].name in kept or not _has_fixed_weights(conv, norm):
            continue
        weight, bias = _folded(tensors, conv, norm)
        with graph.inserting_before(conv):
            attributes = []
            for kind, tensor in (("weight", weight), ("bias", bias)):
                name = f"folded.{conv.name}_{kind}"
                tensors[name] = tensor
                attributes.append(graph.get_attr(name))
        rest = conv.args[3:]
        conv.args = (conv.args[0], *attributes, *rest)
        norm.replace_all_uses_with(conv)
        names[conv.name] = names.pop(norm.name)  # the folded value is the norm's output
        conv.meta = dict(norm.meta)
        graph.erase_node(norm)
    for node in list(graph.nodes):
        if node.op == "get_attr" and not node.users:
            graph.erase_node(node)
    used = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    return replace(captured, graph=graph, names=names, tensors={k: v for k, v in tensors.items() if k in used})


def _has_fixed_weights(conv: fx.Node, norm: fx.Node) -> bool:
    """Whether all weights are tensors of the graph, none computed in it (weight normalisation does that)."""
    weights = [*conv.args[1:3], *norm.args[1:5]]
    return all(weight.op == "get_attr" for weight in weights if isinstance(weight, fx.Node))


def _folded(tensors: dict[str, Tensor], conv: fx.Node, norm: fx.Node) -> tuple[Tensor, Tensor]:
    def tensor(argument: object) -> Tensor | None:
        return tensors[str(argument.target)] if isinstance(argument, fx.Node) else None

    weight = tensor(conv.args[1])
    bias = tensor(conv.args[2]) if len(conv.args) > 2 else None
    scale, shift, mean, variance = (tensor(argument) for argument in norm.args[1:5])
    epsilon = norm.args[7]
    assert weight is not None
    assert mean is not None
    assert variance is not None
    assert isinstance(epsilon, float)
    factor = torch.rsqrt(variance.double() + epsilon)
    if scale is not None:
        factor = factor * scale.double()
    offset = -mean.double() * factor
    if bias is not None:
        offset = offset + bias.double() * factor
    if shift is not None:
        offset = offset + shift.double()
    folded = weight.double() * factor.view(-1, *[1] * (weight.ndim - 1))
    return folded.to(weight.dtype), offset.to(weight.dtype)


def channels_last(captured: NetworkGraph) -> NetworkGraph:
    """The same graph with the weights of its 2-D convolutions in channels-last memory order (values unchanged)."""
    convolved = {
        str(node.args[1].target)
        for node in captured.graph.nodes
        if node.target in _CONVOLUTIONS and isinstance(node.args[1], fx.Node) and node.args[1].op == "get_attr"
    }
    tensors = {
        name: tensor.contiguous(memory_format=torch.channels_last) if name in convolved else tensor
        for name, tensor in captured.tensors.items()
    }
    return replace(captured, tensors=tensors)


def to_device(captured: NetworkGraph, device: torch.device) -> NetworkGraph:
    """The same graph on another device (constants that the graph makes itself included)."""
    if captured.device == device and captured.tensors:
        return captured
    graph, mapping = copy_graph(captured.graph)
    for node in graph.nodes:
        if "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": device}
    names = {mapping[node].name: captured.names[node.name] for node in mapping if node.name in captured.names}
    return replace(captured, graph=graph, names=names, tensors={k: v.to(device) for k, v in captured.tensors.items()})
