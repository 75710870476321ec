"""`NetworkGraph`: a network as a graph of tensor operations that shares the weights of the user's object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from unweave.errors import CaptureError

Tap = Callable[[int, Tensor], Tensor]
"""Given the position of a site and the value there, returns the value that flows on."""


@dataclass(frozen=True)
class NetworkGraph:
    """A captured network.

    `graph` has one input (images), one output (class scores) and only functional operations. `tensors` holds the
    parameters, buffers and constants by name; after capture they are the user's own storage, without gradient.
    `names` gives every tensor value of the graph its public name: module path / operation : ordinal.
    `image_shape` is one image's shape, without the batch dimension.
    """

    graph: fx.Graph
    tensors: Mapping[str, Tensor]
    names: Mapping[str, str]
    image_shape: tuple[int, ...]
    dtype: torch.dtype
    network_name: str

    @property
    def input(self) -> fx.Node:
        """The images."""
        return _first(self.graph, "placeholder")

    @property
    def output(self) -> fx.Node:
        """The class scores, `[batch, classes]`."""
        returned = _first(self.graph, "output").args[0]
        assert isinstance(returned, fx.Node)
        return returned

    @property
    def classes(self) -> int:
        """Number of class scores."""
        return int(self.output.meta["val"].shape[-1])

    @property
    def device(self) -> torch.device:
        """Where the weights are (the CPU for a network without any)."""
        return next((tensor.device for tensor in self.tensors.values()), torch.device("cpu"))

    def module(self) -> fx.GraphModule:
        """The graph as a module: images -> class scores."""
        return build_module(self.graph, self.tensors)


def _first(graph: fx.Graph, kind: str) -> fx.Node:
    node: fx.Node = next(node for node in graph.nodes if node.op == kind)
    return node


def build_module(graph: fx.Graph, tensors: Mapping[str, Tensor]) -> fx.GraphModule:
    """A module that runs `graph` on `tensors` (as buffers, so that `.to(device)` moves them)."""
    root = torch.nn.Module()
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        holder = root
        for part in path:
            if part not in holder._modules:
                holder.add_module(part, torch.nn.Module())
            holder = holder.get_submodule(part)
        holder.register_buffer(last, tensor)
    return fx.GraphModule(root, graph)


def copy_graph(graph: fx.Graph) -> tuple[fx.Graph, dict[fx.Node, fx.Node]]:
    """A copy of `graph`, and which node became which."""
    copied = fx.Graph()
    mapping: dict[fx.Node, fx.Node] = {}
    result = copied.graph_copy(graph, mapping)
    copied.output(result).meta = dict(_first(graph, "output").meta)
    return copied, mapping


def operation_name(node: fx.Node) -> str:
    """`relu` for `aten.relu.default`; with its namespace, `mine.swish`, for an operation of another library; the
    function's own name for anything else."""
    target: Any = node.target
    packet = getattr(target, "overloadpacket", None)
    if packet is None:
        return getattr(target, "__name__", str(target))
    return packet.__name__ if target.namespace == "aten" else f"{target.namespace}.{packet.__name__}"


def gives_tensor(node: fx.Node) -> bool:
    """Whether the node's value is one tensor (not several, as a split's, nor a number)."""
    return isinstance(node.meta.get("val"), Tensor)


def _first_tensor(node: fx.Node) -> Tensor | None:
    value = node.meta.get("val")
    if isinstance(value, tuple | list) and value:
        value = value[0]
    return value if isinstance(value, Tensor) else None


def concrete_shape(node: fx.Node) -> tuple[int, ...] | None:
    """Shape of the node's value with the batch size of the capture put in, or None if it is not a tensor.

    Where an operation has several results (the parts of a split, a pool's values and indices), that of the first.

    Raises
    ------
    CaptureError
        If the shape depends on what is in the images.
    """
    value = _first_tensor(node)
    if value is None:
        return None
    hints = [size if isinstance(size, int) else size.node.hint for size in value.shape]
    if None in hints:
        raise CaptureError(
            f"the shape of {operation_name(node)} ({node.name}) depends on what is in the images; values of one shape "
            "for all images are needed (no boolean masks as indices, no torch.nonzero)"
        )
    return tuple(int(hint) for hint in hints)


def has_batch_first(node: fx.Node, images: fx.Node) -> bool:
    """Whether the first dimension of the node's value is the batch, alone (not merged with positions or windows)."""
    value, batch = _first_tensor(node), images.meta["val"].shape[0]
    if value is None or value.ndim == 0:
        return False
    first = value.shape[0]
    if isinstance(first, int) or isinstance(batch, int):
        return first is batch
    return bool(first.node.expr == batch.node.expr)
