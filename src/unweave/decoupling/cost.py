"""Multiply-accumulates of a decoupled network, counted for every input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from unweave.decoupling.activity import channel_activity
from unweave.decoupling.layers import Layer
from unweave.network.cost import multiply_accumulates, weight_shape
from unweave.network.graph import NetworkGraph, operation_name


@dataclass(frozen=True)
class MultiplyAccumulates:
    """Multiply-accumulates of convolutions, linear layers, matrix products and controlling modules (biases, norms,
    activations and pooling are not counted). `per_layer[name]` `[batch]` without, `controllers[name]` of the
    controlling module alone; `dense`: what the original network takes for one input."""

    per_layer: Mapping[str, Tensor]
    controllers: Mapping[str, int]
    dense: int

    @property
    def total(self) -> Tensor:
        """`[batch]`: all layers and all controlling modules."""
        return torch.stack(list(self.per_layer.values())).sum(0) + sum(self.controllers.values())


def count(captured: NetworkGraph, layers: list[Layer], gates: Mapping[str, Tensor], batch: int) -> MultiplyAccumulates:
    """What each of `batch` inputs takes: a 2-D convolution costs (input channels that can be non-zero) x (selected
    filters) x kernel area x output area (methods as in ECCV section 4.3); grouped and other convolutions, linear layers
    and matrix products count in full. What runs more than once counts every time.

    `captured` is the original network's graph; `gates[name]` `[batch, filters]` of each controlled convolution.

    Raises
    ------
    CaptureError
        If the network has an operation that multiplies and accumulates in a way that is not known here.
    """
    convolutions = [node for node in captured.graph.nodes if _named(node, "conv2d")]
    owners = dict(zip(convolutions, layers, strict=True))
    masked = {_masked_value(node, one.norm): gates[one.convolution] for node, one in _controlled(owners, gates)}
    activity = channel_activity(captured.graph, masked, batch)
    per_layer: dict[str, Tensor] = {}
    controllers, dense = {}, 0
    for node, full in multiply_accumulates(captured.graph, captured.names).items():
        dense += full
        taken = torch.full((batch,), full, dtype=torch.int64)
        layer = owners.get(node)
        name = captured.names.get(node.name, node.name) if layer is None else layer.convolution
        if layer is not None and _groups(node) == 1:
            filters, channels = weight_shape(node)[:2]
            source = node.args[0]
            assert isinstance(source, fx.Node)
            active, own = activity.get(source), gates.get(name)
            inputs = torch.full((batch,), channels) if active is None else active.sum(1).cpu()
            selected = torch.full((batch,), filters) if own is None else (own > 0).sum(1).cpu()
            taken = full // (channels * filters) * inputs.long() * selected.long()
            if own is not None:
                hidden = max(1, channels // 4)
                controllers[name] = channels * hidden + hidden * filters
        per_layer[name] = per_layer.get(name, 0) + taken
    return MultiplyAccumulates(per_layer, controllers, dense)


def _named(node: fx.Node, name: str) -> bool:
    return node.op == "call_function" and operation_name(node) == name


def _controlled(owners: Mapping[fx.Node, Layer], gates: Mapping[str, Tensor]) -> list[tuple[fx.Node, Layer]]:
    return [(node, layer) for node, layer in owners.items() if layer.convolution in gates]


def _masked_value(node: fx.Node, norm: str | None) -> fx.Node:
    """The value that gates multiply: the norm's, where one follows."""
    return next(iter(node.users)) if norm is not None else node


def _groups(node: fx.Node) -> int:
    return int(node.args[6]) if len(node.args) > 6 else 1  # type: ignore[arg-type]
