"""Multiply-accumulates of a decoupled network, counted for every input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from unweave.decoupling.activity import channel_activity
from unweave.decoupling.layers import Layer
from unweave.network.graph import NetworkGraph, concrete_shape, operation_name


@dataclass(frozen=True)
class MultiplyAccumulates:
    """Multiply-accumulates of convolutions, linear layers and controlling modules (biases, norms, activations and
    pooling are not counted). `per_layer[name]` `[batch]` without, `controllers[name]` of the controlling module alone;
    `dense`: what the original network takes for one input."""

    per_layer: Mapping[str, Tensor]
    controllers: Mapping[str, int]
    dense: int

    @property
    def total(self) -> Tensor:
        """`[batch]`: all layers and all controlling modules."""
        return torch.stack(list(self.per_layer.values())).sum(0) + sum(self.controllers.values())


def count(captured: NetworkGraph, layers: list[Layer], gates: Mapping[str, Tensor], batch: int) -> MultiplyAccumulates:
    """What each of `batch` inputs takes: a convolution costs (input channels that can be non-zero) x (selected filters)
    x kernel area x output area (methods as in ECCV section 4.3); grouped convolutions and linear layers count in full.

    `captured` is the original network's graph; `gates[name]` `[batch, filters]` of each controlled convolution.
    """
    nodes = [node for node in captured.graph.nodes if node.op == "call_function"]
    convolutions = [node for node in nodes if operation_name(node) == "conv2d"]
    by_name = {layer.convolution: node for layer, node in zip(layers, convolutions, strict=True)}
    masked = {_masked_value(by_name[name], layer.norm): gates[name] for name, layer in _controlled(layers, gates)}
    activity = channel_activity(captured.graph, masked, batch)
    per_layer, controllers, dense = {}, {}, 0
    for layer in layers:
        node = by_name[layer.convolution]
        area, channels, filters, groups = _dimensions(node, captured)
        dense += area * channels * filters // groups
        if groups != 1:
            per_layer[layer.convolution] = torch.full((batch,), area * channels * filters // groups, dtype=torch.int64)
            continue
        source = node.args[0]
        assert isinstance(source, fx.Node)
        active = activity.get(source)
        inputs = torch.full((batch,), channels) if active is None else active.sum(1).cpu()
        own = gates.get(layer.convolution)
        selected = torch.full((batch,), filters) if own is None else (own > 0).sum(1).cpu()
        per_layer[layer.convolution] = area * inputs.long() * selected.long()
        if own is not None:
            hidden = max(1, channels // 4)
            controllers[layer.convolution] = channels * hidden + hidden * filters
    for node in nodes:
        if operation_name(node) in ("linear", "addmm"):
            weight = captured.tensors.get(str(node.args[1].target)) if isinstance(node.args[1], fx.Node) else None
            shape = concrete_shape(node)
            if weight is None or shape is None:
                continue
            positions = 1
            for size in shape[1:-1]:
                positions *= size
            each = weight.numel() * positions
            dense += each
            per_layer[captured.names.get(node.name, node.name)] = torch.full((batch,), each, dtype=torch.int64)
    return MultiplyAccumulates(per_layer, controllers, dense)


def _controlled(layers: list[Layer], gates: Mapping[str, Tensor]) -> list[tuple[str, Layer]]:
    return [(layer.convolution, layer) for layer in layers if layer.convolution in gates]


def _masked_value(node: fx.Node, norm: str | None) -> fx.Node:
    """The value that gates multiply: the norm's, where one follows."""
    return next(iter(node.users)) if norm is not None else node


def _dimensions(node: fx.Node, captured: NetworkGraph) -> tuple[int, int, int, int]:
    """(kernel area x output area, input channels, filters, groups)"""
    weight, shape = node.args[1], concrete_shape(node)
    assert isinstance(weight, fx.Node)
    assert shape is not None
    filters, per_group, tall, wide = captured.tensors[str(weight.target)].shape
    groups = int(node.args[6]) if len(node.args) > 6 else 1  # type: ignore[arg-type]
    return tall * wide * shape[2] * shape[3], per_group * groups, filters, groups
