"""Which convolutions of a network get a controlling module, read from its graph."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx, nn

from unweave.errors import CaptureError
from unweave.network.graph import NetworkGraph, concrete_shape, has_batch_first, operation_name
from unweave.network.operations import Effect, computed_from_images, data_inputs, operation_of

_CONVOLUTIONS = ("conv2d",)
_NORMS = (
    "batch_norm", "layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "instance_norm", "rms_norm"
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One convolution: the path of its module, of the batch norm that directly follows it (or None), and why it is left
    without a controlling module (empty: it gets one). `pads`: how many paddings the module does before it convolves;
    its controlling module sees what comes before them."""

    convolution: str
    norm: str | None
    left_out: str = ""
    pads: int = 0


def layers_of(captured: NetworkGraph, network: nn.Module) -> list[Layer]:
    """All convolutions of `network` in forward order.

    Left out are the first and the last (ECCV section 3.1), shortcuts of residual blocks, grouped and depthwise
    convolutions, convolutions that are no `nn.Conv2d` of their own or are used twice, and those in front of another
    norm than a batch norm of their own: gates behind such a norm would not save it any filter.

    Raises
    ------
    CaptureError
        If no convolution is left that can be controlled.
    """
    nodes = [node for node in captured.graph.nodes if _is_convolution(node)]
    if not nodes:
        raise CaptureError("the network has no 2-D convolutions; there is nothing to decouple")
    reading = _Reading(captured, network, nodes)
    found = [reading.layer(node) for node in nodes]
    if all(layer.left_out for layer in found):
        reasons = "; ".join(f"{layer.convolution}: {layer.left_out}" for layer in found[:3])
        raise CaptureError(f"no convolution of the network can be controlled ({reasons})")
    return found


def before_padding(convolution: fx.Node, pads: int) -> fx.Node:
    """What a convolution's module is given, of which it makes the convolution's input by `pads` paddings."""
    value = convolution.args[0]
    assert isinstance(value, fx.Node)
    for _ in range(pads):
        value = value.all_input_nodes[0]
    return value


def _is_convolution(node: fx.Node) -> bool:
    return node.op == "call_function" and operation_name(node) in _CONVOLUTIONS


class _Reading:
    """A graph beside the modules that it was captured from."""

    def __init__(self, captured: NetworkGraph, network: nn.Module, convolutions: list[fx.Node]) -> None:
        self.captured = captured
        self.modules = dict(network.named_modules(remove_duplicate=False))
        self.computed = computed_from_images(captured.graph)
        self.operations: dict[nn.Module, list[fx.Node]] = {}
        """What each module does, those within it included."""
        self.readers: dict[nn.Module, list[fx.Node]] = {}
        """What reads a tensor of each module's own."""
        self.owners = self._owners()
        self._collect()
        shortcuts = [node for node in convolutions if self._is_shortcut(node)]
        main = [node for node in convolutions if node not in shortcuts]
        self.places = dict.fromkeys(shortcuts, "it is the shortcut of a residual block")
        if main:
            self.places |= {main[-1]: "it is the last", main[0]: "it is the first"}

    def _owners(self) -> dict[str, str]:
        """Path of the module that holds a tensor, by the tensor's name; a shared tensor has several names."""
        return {
            f"{path}.{name}" if path else name: path
            for path, module in self.modules.items()
            for name, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        }

    def _collect(self) -> None:
        for node in self.captured.graph.nodes:
            if node.op == "get_attr" and str(node.target) in self.owners:
                owner = self.modules[self.owners[str(node.target)]]
                known = self.readers.setdefault(owner, [])
                known += [user for user in node.users if user not in known]
            elif node in self.computed and node.op == "call_function":
                # A module called again is listed as "path@1".
                stack = [path.split("@")[0] for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
                paths = {path.removeprefix("network").removeprefix(".") for path in stack}
                for module in {self.modules[path] for path in paths if path in self.modules}:
                    self.operations.setdefault(module, []).append(node)

    def _owner(self, argument: object) -> str | None:
        if not isinstance(argument, fx.Node) or argument.op != "get_attr":
            return None
        return self.owners.get(str(argument.target))

    def layer(self, node: fx.Node) -> Layer:
        path = self._owner(node.args[1])
        if path is None:
            name = self.captured.names.get(node.name, node.name)
            return Layer(name, None, self.places.get(node) or "its weight is not a module's own")
        pads = _paddings_before(node, self.operations.get(self.modules[path], []))
        left_out = self.places.get(node) or self._why_left_out(node, self.modules[path], pads)
        norm = _norm_behind(node)
        own = self._batch_norm(norm, node) if norm is not None else None
        if norm is not None and own is None:
            left_out = left_out or f"the {operation_name(norm)} behind it is not a batch norm of its own"
        return Layer(path, own, left_out, pads)

    def _why_left_out(self, node: fx.Node, module: nn.Module, pads: int) -> str:
        if not isinstance(module, nn.Conv2d):
            return f"its weight is in a {type(module).__name__}, not in a Conv2d"
        if len(self.readers[module]) > 1:
            return "it is used more than once"
        if len(self.operations.get(module, ())) != pads + 1:
            return "its module does more than convolve"
        groups = node.args[6] if len(node.args) > 6 else 1
        if groups != 1:
            shape = concrete_shape(node)
            kind = "depthwise" if shape is not None and groups == shape[1] else "grouped"
            return f"it is {kind}"
        if not has_batch_first(node, self.captured.input):
            return "its batch is not the images'"
        return ""

    def _batch_norm(self, node: fx.Node, convolution: fx.Node) -> str | None:
        """The module of a norm that directly reads the convolution, where that is all it does and all that reads it."""
        path = self._owner(node.args[3]) if operation_name(node) == "batch_norm" else None
        if path is None or node.args[0] is not convolution:
            return None
        module = self.modules[path]
        alone = self.readers[module] == [node] and self.operations.get(module) == [node]
        return path if alone and isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm) else None

    def _is_shortcut(self, node: fx.Node) -> bool:
        """Whether the convolution leads straight to an addition (through norms alone) whose other side begins at the
        same value and has more convolutions."""
        value, start = node, node.args[0]
        assert isinstance(start, fx.Node)
        while operation_of(start).effect is Effect.PAD:
            start = start.all_input_nodes[0]
        while len(value.users) == 1:
            (user,) = value.users
            effect = operation_of(user).effect
            if effect is Effect.COMBINE:
                others = [source for source in data_inputs(user, self.computed) if source is not value]
                depths = _convolutions_from(start, self.captured.graph)
                return any(depths.get(other, 0) > 1 for other in others)
            if effect is not Effect.NORM:
                return False
            value = user
        return False


def _convolutions_from(start: fx.Node, graph: fx.Graph) -> dict[fx.Node, int]:
    """How many convolutions lie between `start` and each value that is made from it, at most."""
    found = {start: 0}
    for node in graph.nodes:
        before = [found[source] for source in node.all_input_nodes if source in found]
        if before and node is not start:
            found[node] = max(before) + _is_convolution(node)
    return found


def _paddings_before(node: fx.Node, own: list[fx.Node]) -> int:
    """How many paddings, among the operations of the convolution's `own` module, make its input."""
    count, value = 0, node.args[0]
    while isinstance(value, fx.Node) and value in own and operation_of(value).effect is Effect.PAD:
        count, value = count + 1, value.all_input_nodes[0]
    return count


def _norm_behind(node: fx.Node) -> fx.Node | None:
    """The norm that alone reads the convolution, if under another order of dimensions."""
    value = node
    while len(value.users) == 1:
        (value,) = value.users
        if operation_name(value) in _NORMS:
            return value
        if operation_of(value).effect is not Effect.MOVE:
            return None
    return None
