"""Multiply-accumulates of a decoupled network, counted for every input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, fx

from unweave.decoupling.activity import channel_activity
from unweave.decoupling.layers import Layer
from unweave.errors import CaptureError
from unweave.network.graph import NetworkGraph, concrete_shape, operation_name
from unweave.network.operations import Effect, computed_from_images, operation_of


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
    for node, full in _in_full(captured).items():
        dense += full
        taken = torch.full((batch,), full, dtype=torch.int64)
        layer = owners.get(node)
        name = captured.names.get(node.name, node.name) if layer is None else layer.convolution
        if layer is not None and _groups(node) == 1:
            filters, channels = _weight_shape(node)[:2]
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


def _in_full(captured: NetworkGraph) -> dict[fx.Node, int]:
    """Multiply-accumulates for one input of every operation that has any, with all filters on all channels."""
    computed, batch = computed_from_images(captured.graph), _shape(captured.input)[0]
    found = {}
    for node in captured.graph.nodes:
        if node.op != "call_function":
            continue
        name = operation_name(node)
        if name in _COUNTED:
            each = _COUNTED[name](node)
            found[node] = each // batch if node in computed else each  # made from weights alone: the same for any batch
        elif name in _NOT_COUNTED or operation_of(node).effect in (Effect.MIX, Effect.PRODUCT):
            raise CaptureError(
                f"multiply-accumulates of {name} ({captured.names.get(node.name, node.name)}) cannot be counted; "
                "write it as convolutions, linear layers or matrix products"
            )
    return found


def _convolution(node: fx.Node) -> int:
    """Each filter sees at each output position its group's channels under its kernel."""
    return math.prod(_shape(node)) * math.prod(_weight_shape(node)[1:])


def _transposed(node: fx.Node) -> int:
    """Each input position of each channel goes through the kernels of its group's filters."""
    return math.prod(_shape(node.args[0])) * math.prod(_weight_shape(node)[1:])


def _product(node: fx.Node, first: int = 0) -> int:
    """Each number of the result is a sum over the last dimension of the product's first operand."""
    return math.prod(_shape(node)) * _shape(node.args[first])[-1]


def _attention(node: fx.Node) -> int:
    """Queries by keys, and these weights by values."""
    queries, keys, values = (_shape(argument) for argument in node.args[:3])
    return math.prod(queries[:-1]) * keys[-2] * (queries[-1] + values[-1])


_COUNTED: dict[str, Callable[[fx.Node], int]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    **dict.fromkeys(("linear", "matmul", "mm", "bmm", "mv", "dot"), _product),
    **dict.fromkeys(("addmm", "baddbmm"), partial(_product, first=1)),
    "scaled_dot_product_attention": _attention,
}
_NOT_COUNTED = (
    "addbmm", "addmv", "addr", "bilinear", "cdist", "chain_matmul", "conv_tbc", "deform_conv2d", "gru", "inner", "kron",
    "linalg_multi_dot", "lstm", "outer", "rnn_relu", "rnn_tanh", "tensordot", "_native_multi_head_attention",
    "_transformer_encoder_layer_fwd",
)  # fmt: skip


def _shape(argument: object) -> tuple[int, ...]:
    shape = concrete_shape(argument) if isinstance(argument, fx.Node) else None
    assert shape is not None
    return shape


def _weight_shape(node: fx.Node) -> tuple[int, ...]:
    return _shape(node.args[1])


def _groups(node: fx.Node) -> int:
    return int(node.args[6]) if len(node.args) > 6 else 1  # type: ignore[arg-type]
