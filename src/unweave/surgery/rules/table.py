"""Which rule is for which operation; for those that are not here, all channels are computed."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx

from unweave.network.graph import operation_name
from unweave.network.operations import Effect, is_first_result, operation_of
from unweave.surgery.marking import masked
from unweave.surgery.rules.arithmetic import Arithmetic
from unweave.surgery.rules.arranging import (
    Concatenation,
    Expansion,
    Padding,
    Position,
    Reduction,
    Reshaping,
    Slice,
    Transposition,
    has_fixed_size,
)
from unweave.surgery.rules.base import Barrier, Images, Rule
from unweave.surgery.rules.channelwise import (
    BatchNorm,
    Channelwise,
    FirstResult,
    InstanceNorm,
    Mask,
    PerChannelWeight,
    Pointwise,
    Pool,
    ZeroKeeping,
)
from unweave.surgery.rules.mixing import GroupedConvolution, Mixing, TransposedConvolution, groups_of

if TYPE_CHECKING:
    from unweave.surgery.flow import Flow

_POINTWISE = frozenset(
    (
        "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "tanh", "softsign",
        "hardshrink", "softshrink", "tanhshrink", "hardtanh", "sigmoid", "hardsigmoid", "softplus", "logsigmoid",
        "log_sigmoid", "threshold", "clamp", "clamp_min", "clamp_max", "dropout", "clone", "contiguous", "to",
        "_to_copy", "alias", "neg", "abs", "sqrt", "square", "erf", "exp", "log", "rsqrt", "reciprocal", "detach",
    )
)  # fmt: skip
_SAME_CONSTANTS = frozenset(["upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d"])
_ARITHMETIC = frozenset(["add", "sub", "rsub", "mul", "div", "maximum", "minimum"])
_ALONG_DIMENSIONS = frozenset(["roll", "flip"])
_CONVOLUTIONS = frozenset(["conv1d", "conv2d", "conv3d"])
_TRANSPOSED = frozenset(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"])
_SPLITS = frozenset(["split", "split_with_sizes", "chunk"])
_RESHAPES = frozenset(["reshape", "view", "flatten", "unflatten", "unsqueeze", "squeeze"])

_BARRIER = Barrier()


def rule_of(node: fx.Node, flow: Flow) -> Rule:
    """The rule for the operation at `node`."""
    if node.op == "placeholder":
        return Images()
    if node.target is masked:
        return Mask()
    source: Any = node.args[0] if node.args else None
    found = _BY_EFFECT.get(operation_of(node).effect)
    if operation_name(node) == "cat" and all(flow.follows(one) or one in flow.static for one in node.all_input_nodes):
        return Concatenation()
    if found is None or not flow.follows(source):
        return Arithmetic() if _is_arithmetic(node, flow) else _BARRIER
    return found(node, source, flow) or _BARRIER


def _keep(node: fx.Node, source: fx.Node, flow: Flow) -> Rule | None:
    name, followed = operation_name(node), [one for one in node.all_input_nodes if flow.follows(one)]
    if followed != [source]:
        return None
    if name == "prelu":
        return PerChannelWeight() if node.args[1] in flow.static else None
    if node.all_input_nodes != [source]:  # bounds that are tensors, for one
        return None
    if name in _ALONG_DIMENSIONS:
        dims: Any = node.args[2 if name == "roll" else 1 :]
        ndim, dim = len(flow.shape(source)), flow.channels[source].dim
        moves = [one % ndim for one in (dims[0] if dims else range(ndim))] or list(range(ndim))
        return None if dim in moves or dim is None else Channelwise()
    if name in _SAME_CONSTANTS:
        return Pool()
    if name in _POINTWISE:
        return Pointwise()
    same = isinstance(node.meta.get("val"), Tensor) and len(flow.shape(node)) == len(flow.shape(source))
    return ZeroKeeping() if same else None


def _norm(node: fx.Node, source: fx.Node, flow: Flow) -> Rule | None:
    name = operation_name(node)
    if name == "batch_norm":
        return BatchNorm() if all(one is None or one in flow.static for one in node.args[1:5]) else None
    if name == "instance_norm":
        weights = all(one is None or one in flow.static for one in node.args[1:3])
        return InstanceNorm() if weights and node.args[3:5] == (None, None) else None
    return None


def _pool(node: fx.Node, source: fx.Node, flow: Flow) -> Rule | None:
    if not isinstance(node.meta.get("val"), Tensor) and any(user.args[1] != 0 for user in node.users):
        return None
    return Pool() if "pool" in operation_name(source if is_first_result(node) else node) else None


def _mix(node: fx.Node, source: fx.Node, flow: Flow) -> Rule | None:
    name = operation_name(node)
    if not all(one is None or one in flow.static for one in node.args[1:3]):
        return None
    if name == "linear":
        return Mixing()
    if name in _CONVOLUTIONS:
        return Mixing() if groups_of(node) == 1 else GroupedConvolution()
    return TransposedConvolution() if name in _TRANSPOSED and groups_of(node) == 1 else None


def _move(node: fx.Node, source: fx.Node, flow: Flow) -> Rule | None:
    name = operation_name(node)
    if name in ("permute", "transpose", "t"):
        return Transposition()
    if name == "expand":
        return Expansion()
    return Reshaping() if name in _RESHAPES else None


def _select(node: fx.Node, source: fx.Node, flow: Flow) -> Rule | None:
    name = operation_name(node)
    if is_first_result(node) and operation_of(source).effect is Effect.POOL:
        return None if flow.rules[source] is _BARRIER else FirstResult()
    if node.target is operator.getitem:
        whole = source.args[0] if operation_name(source) in _SPLITS else None
        return Slice() if flow.follows(whole) and has_fixed_size(node, flow) else None
    if name in ("slice", "narrow") and not any(isinstance(one, fx.Node) for one in node.args[1:]):
        return Slice() if has_fixed_size(node, flow) else None
    if name == "select" and isinstance(node.args[1], int) and isinstance(node.args[2], int):
        gone = node.args[1] % len(flow.shape(source))
        return Position() if flow.channels[source].dim not in (None, gone) else None
    return None


def _pad(node: fx.Node, source: fx.Node, flow: Flow) -> Rule | None:
    widths: Any = node.args[1]
    numbers = all(isinstance(one, int) and one >= 0 for one in widths)
    return Padding() if numbers else None


def _reduce(node: fx.Node, source: fx.Node, flow: Flow) -> Rule | None:
    dims: Any = node.args[1] if len(node.args) > 1 else None
    if operation_name(node) not in ("mean", "sum", "amax", "amin") or dims is None or dims == []:
        return None
    ndim, dim = len(flow.shape(source)), flow.channels[source].dim
    gone = {one % ndim for one in ([dims] if isinstance(dims, int) else dims)}
    return None if dim is None or dim in gone else Reduction()


def _is_arithmetic(node: fx.Node, flow: Flow) -> bool:
    return (
        operation_name(node) in _ARITHMETIC and len(node.args) >= 2 and any(flow.follows(one) for one in node.args[:2])
    )


def _combine(node: fx.Node, source: fx.Node, flow: Flow) -> Rule | None:
    return Arithmetic() if _is_arithmetic(node, flow) else None


_BY_EFFECT = {
    Effect.KEEP: _keep,
    Effect.NORM: _norm,
    Effect.POOL: _pool,
    Effect.MIX: _mix,
    Effect.MOVE: _move,
    Effect.SELECT: _select,
    Effect.PAD: _pad,
    Effect.REDUCE: _reduce,
    Effect.COMBINE: _combine,
}
