"""Multiply-accumulates of a graph's operations, from the shapes of its values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from torch import fx

from unweave.errors import CaptureError
from unweave.network.graph import concrete_shape, operation_name
from unweave.network.operations import Effect, computed_from_images, operation_of


def multiply_accumulates(graph: fx.Graph, names: Mapping[str, str]) -> dict[fx.Node, int]:
    """Multiply-accumulates for one image of every operation that has any: convolutions, linear layers and matrix
    products (biases, norms, activations and pooling are not counted). `names`: public names of nodes, for messages.

    Raises
    ------
    CaptureError
        If an operation multiplies and accumulates in a way that is not known here.
    """
    images = next(node for node in graph.nodes if node.op == "placeholder")
    computed, batch = computed_from_images(graph), _shape(images)[0]
    found = {}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        name = operation_name(node)
        if name in _COUNTED:
            each = _COUNTED[name](node)
            found[node] = each // batch if node in computed else each  # made from weights alone: the same for any batch
        elif name in _NOT_COUNTED or operation_of(node).effect in (Effect.MIX, Effect.PRODUCT):
            raise CaptureError(
                f"multiply-accumulates of {name} ({names.get(node.name, node.name)}) cannot be counted; "
                "write it as convolutions, linear layers or matrix products"
            )
    return found


def _convolution(node: fx.Node) -> int:
    """Each filter sees at each output position its group's channels under its kernel."""
    return math.prod(_shape(node)) * math.prod(weight_shape(node)[1:])


def _transposed(node: fx.Node) -> int:
    """Each input position of each channel goes through the kernels of its group's filters."""
    return math.prod(_shape(node.args[0])) * math.prod(weight_shape(node)[1:])


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


def weight_shape(node: fx.Node) -> tuple[int, ...]:
    """The shape of a layer's weight."""
    return _shape(node.args[1])
