"""A graph of tensor operations as plain values for JSON, and back, without running code that a file holds."""

from __future__ import annotations

import keyword
import math
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from unweave.errors import ExtractionError
from unweave.network.graph import operation_name

aten = torch.ops.aten
WITHOUT_A_FILE = (
    "write it with PyTorch's own operations; or, in Python, keep the module that uw.extract returns: "
    "torch.save(small.state_dict(), file) keeps its weights, and load_state_dict puts them into what the same network "
    "and paths are extracted to again"
)
"""What can be done where an operation keeps a network out of a file."""
_NUMBERS = {
    name: getattr(operator, name) for name in ("getitem", "add", "sub", "mul", "floordiv", "truediv", "mod", "neg")
}
"""Operations on numbers (batch sizes), and parts of results."""
_MAKERS = ("arange", "full", "ones", "zeros", "scalar_tensor")
"""The operations without a tensor among their operands that are taken from a file."""
_WORD = re.compile(r"[a-zA-Z_]\w*")


def graph_as_dict(graph: fx.Graph) -> list[dict[str, Any]]:
    """Every node: its name, what it does, its operands.

    Raises
    ------
    ExtractionError
        If an operation is not one of PyTorch's own.
    """
    return [
        {
            "name": node.name,
            "op": node.op,
            "target": _target_name(node),
            "args": [_encoded(one) for one in node.args],
            "kwargs": {name: _encoded(one) for name, one in node.kwargs.items()},
        }
        for node in graph.nodes
    ]


def _target_name(node: fx.Node) -> str:
    if node.op != "call_function":
        return str(node.target)
    if node.target is aten.relu_.default:  # in place where the graph allows it, which is found out again
        return "aten.relu.default"
    if isinstance(node.target, torch._ops.OpOverload) and node.target.namespace == "aten":
        return str(node.target)
    name = getattr(node.target, "__name__", "")
    if _NUMBERS.get(name) is node.target:
        return f"operator.{name}"
    refuse_operation(operation_name(node))
    raise ExtractionError(
        f"{operation_name(node)} is not one of PyTorch's own operations, and a .safetensors file holds no others; an "
        f".onnx file may hold it. Otherwise {WITHOUT_A_FILE}"
    )


def refuse_operation(name: str) -> None:
    """Refuse an operation that neither form of file can hold. Of torchvision's, ONNX has some.

    Raises
    ------
    ExtractionError
    """
    if "." in name and not name.startswith("torchvision."):
        raise ExtractionError(
            f"{name} is not one of PyTorch's own operations: neither a .safetensors nor an .onnx file can hold it; "
            + WITHOUT_A_FILE
        )


def operations_of_others(graph: fx.Graph) -> list[str]:
    """The names of operations that are not PyTorch's own."""
    targets = {node.target: node for node in graph.nodes if node.op == "call_function"}
    others = [node for target, node in targets.items() if getattr(target, "namespace", "aten") != "aten"]
    return [operation_name(node) for node in others]


def _encoded(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, list | tuple):
        return [_encoded(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": "any"}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ExtractionError(
        f"{value!r}, an operand of the network, cannot be written to a .safetensors file; an .onnx file may hold it"
    )


def graph_from_dict(nodes: Sequence[Mapping[str, Any]]) -> fx.Graph:
    """The graph back; only operations of PyTorch's own that compute and have no side effects are taken.

    Raises
    ------
    ValueError, KeyError, TypeError
        If anything else is there.
    """
    graph = fx.Graph()
    made: dict[str, fx.Node] = {}
    for node in nodes:
        op, name, target = str(node["op"]), str(node["name"]), str(node["target"])
        if op == "output":
            graph.output(made[node["args"][0]["node"]])
            continue
        if op == "placeholder":
            made[name] = graph.placeholder(_word(target))
        elif op == "get_attr":
            made[name] = graph.create_node("get_attr", ".".join(map(_word, target.split("."))), name=_word(name))
        else:
            operation = _target(target)
            args = tuple(_decoded(one, made) for one in node["args"])
            kwargs = {_argument(operation, key): _decoded(one, made) for key, one in node["kwargs"].items()}
            made[name] = graph.create_node("call_function", operation, args, kwargs, name=_word(name))
    kinds = [node.op for node in graph.nodes]
    if kinds.count("placeholder") != 1 or kinds.count("output") != 1 or kinds[-1] != "output":
        raise ValueError("no network of images to class scores")
    graph.lint()
    return graph


def _word(name: str) -> str:
    """`name`, which becomes part of the source that the graph is turned into: anything but a word would be run."""
    if not re.fullmatch(r"\w+", name) or keyword.iskeyword(name):
        raise ValueError(f"a name that is none: {name!r}")
    return name


def _argument(operation: Any, name: str) -> str:
    """`name`, if the operation has such an argument."""
    known = [argument.name for argument in operation._schema.arguments] if hasattr(operation, "_schema") else []
    if name not in known:
        raise ValueError(f"an argument that {operation} does not have: {name!r}")
    return name


def _target(name: str) -> Any:
    space, _, rest = name.partition(".")
    if space == "operator" and rest in _NUMBERS:
        return _NUMBERS[rest]
    parts = rest.split(".")
    if space != "aten" or len(parts) != 2 or not all(_WORD.fullmatch(part) for part in parts):
        raise ValueError(f"an operation that is not known: {name}")
    try:
        found = getattr(getattr(aten, parts[0]), parts[1])
    except AttributeError:
        raise ValueError(f"an operation that this PyTorch does not have: {name}") from None
    kinds = [str(argument.type) for argument in found._schema.arguments]
    computes = any("Tensor" in kind for kind in kinds) or parts[0] in _MAKERS
    if found._schema.is_mutable or not computes:
        raise ValueError(f"an operation that has side effects: {name}")
    return found


def _decoded(value: Any, made: Mapping[str, fx.Node]) -> Any:
    if isinstance(value, list):
        return [_decoded(one, made) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "node":
        return made[held]
    if kind == "float":
        return float(held)
    if kind == "device":
        return torch.device("cpu")
    found = getattr(torch, str(held))
    if kind != "torch" or not isinstance(found, torch.dtype | torch.memory_format | torch.layout):
        raise ValueError(f"an operand that is not known: {value}")
    return found
