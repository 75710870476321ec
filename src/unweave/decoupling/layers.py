"""Which convolutions of a network get a controlling module, read from its graph."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx, nn

from unweave.errors import CaptureError
from unweave.network.graph import NetworkGraph, concrete_shape, operation_name
from unweave.network.operations import Effect, computed_from_images, data_inputs, operation_of

_CONVOLUTIONS = ("conv2d",)


@dataclass(frozen=True)
class Layer:
    """One convolution: the path of its module, of the batch norm that directly follows it (or None), and why it is left
    without a controlling module (empty: it gets one)."""

    convolution: str
    norm: str | None
    left_out: str = ""


def layers_of(captured: NetworkGraph, network: nn.Module) -> list[Layer]:
    """All convolutions of `network` in forward order.

    Left out are the first and the last (ECCV section 3.1), shortcuts of residual blocks, grouped and depthwise
    convolutions, and convolutions that are no module of their own or are used twice.

    Raises
    ------
    CaptureError
        If no convolution is left that can be controlled.
    """
    nodes = [node for node in captured.graph.nodes if _is_convolution(node)]
    if not nodes:
        raise CaptureError("the network has no 2-D convolutions; there is nothing to decouple")
    owners = _owners(network)
    found = [_layer(node, nodes, owners, captured) for node in nodes]
    if all(layer.left_out for layer in found):
        reasons = "; ".join(f"{layer.convolution}: {layer.left_out}" for layer in found[:3])
        raise CaptureError(f"no convolution of the network can be controlled ({reasons})")
    return found


def _is_convolution(node: fx.Node) -> bool:
    return node.op == "call_function" and operation_name(node) in _CONVOLUTIONS


def _owners(network: nn.Module) -> dict[str, str]:
    """Path of the module that holds a tensor, by the tensor's name; a shared tensor has several names."""
    return {
        f"{path}.{name}" if path else name: path
        for path, module in network.named_modules(remove_duplicate=False)
        for name, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    }


def _owner(argument: object, owners: dict[str, str]) -> str | None:
    return owners.get(str(argument.target)) if isinstance(argument, fx.Node) and argument.op == "get_attr" else None


def _layer(node: fx.Node, nodes: list[fx.Node], owners: dict[str, str], captured: NetworkGraph) -> Layer:
    path = _owner(node.args[1], owners)
    if path is None:
        return Layer(node.name, None, "its weight is not a module's own")
    norm = _norm_after(node, owners)
    return Layer(path, norm, _why_left_out(node, nodes, path, owners, captured))


def _norm_after(node: fx.Node, owners: dict[str, str]) -> str | None:
    """The batch norm that alone reads the convolution."""
    if len(node.users) != 1:
        return None
    (user,) = node.users
    return _owner(user.args[1], owners) if operation_name(user) == "batch_norm" else None


def _why_left_out(
    node: fx.Node, nodes: list[fx.Node], path: str, owners: dict[str, str], captured: NetworkGraph
) -> str:
    shortcuts = [other for other in nodes if _is_shortcut(other, captured)]
    main = [other for other in nodes if other not in shortcuts]
    if node in shortcuts:
        return "it is the shortcut of a residual block"
    if node is main[0]:
        return "it is the first"
    if node is main[-1]:
        return "it is the last"
    if sum(_owner(other.args[1], owners) == path for other in nodes) > 1:
        return "it is used more than once"
    groups = node.args[6] if len(node.args) > 6 else 1
    if groups != 1:
        shape = concrete_shape(node)
        kind = "depthwise" if shape is not None and groups == shape[1] else "grouped"
        return f"it is {kind}"
    return ""


def _is_shortcut(node: fx.Node, captured: NetworkGraph) -> bool:
    """Whether the convolution leads straight to an addition (through norms alone) whose other side, by way of other
    convolutions, begins at the same value."""
    value = node
    while len(value.users) == 1:
        (user,) = value.users
        effect = operation_of(user).effect
        if effect is Effect.COMBINE:
            computed = computed_from_images(captured.graph)
            others = [source for source in data_inputs(user, computed) if source is not value]
            start = node.args[0]
            return any(_convolves_from(other, start) for other in others)
        if effect is not Effect.NORM:
            return False
        value = user
    return False


def _convolves_from(value: fx.Node, start: object) -> bool:
    """Whether `value` is made from `start` by at least one convolution."""
    waiting: list[tuple[fx.Node, bool]] = [(value, False)]
    seen = set()
    while waiting:
        node, convolved = waiting.pop()
        if node is start:
            if convolved:
                return True
            continue
        if (node, convolved) in seen:
            continue
        seen.add((node, convolved))
        after = convolved or _is_convolution(node)
        waiting += [(source, after) for source in node.all_input_nodes]
    return False
