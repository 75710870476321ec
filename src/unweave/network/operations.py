"""The table of operations: what each does to the channels that flow through it.

Everything that must know the network reads this table; nothing looks at class names or module names. A user teaches
it operations with `teach_operation`; those of PyTorch that many networks use belong into `OPERATIONS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch import Tensor, fx

from unweave.network.graph import operation_name


class Effect(Enum):
    """What an operation does to channels."""

    KEEP = "keep"
    """Every output channel is a function of the same input channel (activations, casts)."""
    NORM = "norm"
    """As KEEP, with statistics over positions or channels; may shift zero channels."""
    POOL = "pool"
    """As KEEP, over a neighbourhood of positions."""
    MIX = "mix"
    """New channels, each made of many (convolution, linear)."""
    PRODUCT = "product"
    """A matrix product of two computed values (attention): the channels are lost track of."""
    CONCATENATE = "concatenate"
    COMBINE = "combine"
    """Two values meet, channel by channel (add, multiply)."""
    MOVE = "move"
    """The same numbers under another shape or order of dimensions."""
    SELECT = "select"
    """Part of the numbers (slices, single positions), or each of a few others (halves multiplied, shuffles)."""
    PAD = "pad"
    REDUCE = "reduce"
    """Dimensions are summed or averaged away."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Operation:
    """One line of the table."""

    effect: Effect
    activation: bool = False
    multiplies: bool = False
    keeps_zero: bool = False
    """Turns a channel that is zero everywhere into one that is."""
    mixes: int = 1
    """Of `Effect.MIX`: the dimension of the channels in the operand and the result; -1 for linear layers."""


def _lines(line: Operation, names: str) -> dict[str, Operation]:
    return dict.fromkeys(names.split(), line)


ALONG_ONE_DIMENSION = ("cumsum", "cumprod", "logcumsumexp", "unfold")
"""Operations over the dimension in their second argument, which channels go through where it is not their own."""

OPERATIONS: dict[str, Operation] = {
    **_lines(
        Operation(Effect.KEEP, activation=True, keeps_zero=True),
        "relu relu6 leaky_relu elu selu celu prelu rrelu gelu silu mish hardswish tanh softsign hardshrink softshrink "
        "tanhshrink",
    ),
    **_lines(
        Operation(Effect.KEEP, activation=True),
        "hardtanh sigmoid hardsigmoid softplus logsigmoid log_sigmoid threshold clamp clamp_min clamp_max",
    ),
    **_lines(
        Operation(Effect.KEEP, keeps_zero=True),
        "dropout feature_dropout native_dropout clone contiguous to _to_copy alias neg abs sqrt square erf erfinv "
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
        "_upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d "
        "_upsample_bilinear2d_aa _upsample_bicubic2d_aa interpolate "
        "sin tan asin atan sinh asinh atanh expm1 log1p sign round floor ceil trunc frac nan_to_num",
    ),
    **_lines(
        Operation(Effect.KEEP),
        "alpha_dropout masked_fill pow exp log rsqrt reciprocal lift_fresh_copy detach type_as roll flip cos cosh acos "
        "logit exp2 log2 log10 erfc fill logical_not bitwise_not grid_sampler grid_sampler_2d max_unpool2d "
        "max_unpool3d",
    ),
    **_lines(
        Operation(Effect.NORM),
        "batch_norm layer_norm group_norm instance_norm rms_norm native_layer_norm native_group_norm",
    ),
    **_lines(Operation(Effect.NORM), "softmax _softmax log_softmax _log_softmax"),
    **_lines(
        Operation(Effect.POOL, keeps_zero=True),
        "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d max_pool2d_with_indices",
    ),
    **_lines(Operation(Effect.POOL), " ".join(ALONG_ONE_DIMENSION)),
    **_lines(
        Operation(Effect.MIX), "conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d"
    ),
    **_lines(Operation(Effect.MIX, mixes=-1), "linear addmm bilinear lstm gru rnn_tanh rnn_relu"),
    **_lines(Operation(Effect.PRODUCT), "matmul mm bmm baddbmm scaled_dot_product_attention einsum tensordot cdist"),
    **_lines(Operation(Effect.CONCATENATE), "cat concat concatenate"),
    **_lines(
        Operation(Effect.COMBINE),
        "add sub rsub maximum minimum fmax fmin addcmul addcdiv lerp where atan2 hypot xlogy logaddexp remainder fmod "
        "floor_divide heaviside eq ne lt le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or "
        "stack slice_scatter select_scatter",
    ),
    **_lines(Operation(Effect.COMBINE, multiplies=True), "mul div"),
    **_lines(
        Operation(Effect.MOVE), "reshape view flatten unflatten permute transpose t unsqueeze squeeze expand movedim"
    ),
    **_lines(
        Operation(Effect.SELECT),
        "slice select index narrow split split_with_sizes chunk unbind getitem index_select gather glu repeat tile "
        "repeat_interleave channel_shuffle pixel_shuffle pixel_unshuffle",
    ),
    **_lines(Operation(Effect.PAD), "pad constant_pad_nd reflection_pad2d replication_pad2d"),
    **_lines(
        Operation(Effect.REDUCE),
        "mean sum amax amin max min var std var_mean std_mean prod logsumexp linalg_vector_norm argmax argmin any all",
    ),
}

TAUGHT: dict[str, Operation] = {}
"""Lines that this process was taught."""

_OTHER = Operation(Effect.UNKNOWN)
_WITHOUT_CONTENTS = frozenset((
    "new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like", "sym_size",
    "zero",
))  # fmt: skip
"""What they read of a value is its shape."""


def operation_of(node: fx.Node) -> Operation:
    """The table's line for `node`; `Effect.UNKNOWN` where there is none.

    An operation with several results (a pool with its indices) appears as two nodes that do the same: itself, and what
    takes its first result.
    """
    if node.op != "call_function":
        return _OTHER
    found = _line(operation_name(node.all_input_nodes[0] if is_first_result(node) else node))
    if found.effect is Effect.PRODUCT and (mixes := _mixed_by_weights(node)) is not None:
        return Operation(Effect.MIX, mixes=mixes)
    return found


def _mixed_by_weights(node: fx.Node) -> int | None:
    """The dimension whose channels a product with a table of weights `[channels, channels]` makes new ones of."""
    name, args = operation_name(node), node.args
    if name in ("matmul", "mm"):
        return -1 if _are_weights(args[1]) and args[1].meta["val"].ndim == 2 else None  # type: ignore[union-attr]
    if name != "einsum" or len(args[1]) != 2 or not _are_weights(args[1][1]):  # type: ignore[arg-type, index]
        return None
    operands, _, result = str(args[0]).replace(" ", "").partition("->")
    values, weights = operands.split(",")
    changed = [dim for dim, letters in enumerate(zip(values, result, strict=False)) if letters[0] != letters[1]]
    if len(values) != len(result) or len(changed) != 1 or "." in operands:
        return None
    before, after = values[changed[0]], result[changed[0]]
    once = before not in result and after not in values and values.count(before) == 1
    return changed[0] if once and sorted(weights) == sorted(before + after) else None


def _are_weights(value: Any, steps: int = 4) -> bool:
    """Whether a value is a weight of the network, rearranged or converted at most."""
    if not isinstance(value, fx.Node) or value.op != "call_function" or not steps:
        return isinstance(value, fx.Node) and value.op == "get_attr"
    rearranged = _line(operation_name(value)).effect in (Effect.MOVE, Effect.KEEP)
    return rearranged and all(_are_weights(source, steps - 1) for source in value.all_input_nodes)


def _line(name: str) -> Operation:
    return OPERATIONS.get(name) or TAUGHT.get(name, _OTHER)


def is_first_result(node: fx.Node) -> bool:
    """Whether `node` takes the first of an operation's several results (not a part of a split: parts are alike)."""
    if operation_name(node) != "getitem" or not node.all_input_nodes or node.args[1] != 0:
        return False
    return _line(operation_name(node.all_input_nodes[0])).effect is not Effect.SELECT


def data_inputs(node: fx.Node, computed: set[fx.Node]) -> list[fx.Node]:
    """The node's inputs that depend on the images, in order of the arguments."""
    return [source for source in node.all_input_nodes if source in computed]


def computed_from_images(graph: fx.Graph) -> set[fx.Node]:
    """The nodes whose values depend on the images' contents (their number, a plain integer, does not count)."""
    computed: set[fx.Node] = set()
    for node in graph.nodes:
        reads = operation_name(node) not in _WITHOUT_CONTENTS
        depends = node.op == "placeholder" or (reads and any(source in computed for source in node.all_input_nodes))
        if depends and isinstance(node.meta.get("val"), Tensor | tuple | list):
            computed.add(node)
    return computed


def unknown_operations(graph: fx.Graph) -> list[fx.Node]:
    """What the table has no line for, of all that is computed on the way from the images to the class scores."""
    computed = computed_from_images(graph)
    needed: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or node in needed:
            needed.update(node.all_input_nodes)
    return [
        node
        for node in graph.nodes
        if node in computed
        and node in needed
        and node.op == "call_function"
        and operation_of(node).effect is Effect.UNKNOWN
        and operation_name(node) != "getitem"  # a part of what is listed already
    ]
