"""From the user's module to a `NetworkGraph`, without touching the module."""

from __future__ import annotations

import copy
import io
import itertools
import logging
import operator
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind

from unweave.errors import CaptureError, DataError
from unweave.network.graph import NetworkGraph, build_module, operation_name

aten = torch.ops.aten


def capture(network: nn.Module, example: Tensor, logits: str | int | None = None) -> NetworkGraph:
    """Capture `network` in evaluation mode with `torch.export`, for any batch size.

    Parameters
    ----------
    network
        Maps images `[batch, ...]` to class scores `[batch, classes]`. It is not changed, whatever its mode: a copy
        that shares its parameters is captured.
    example
        A batch of images as the network takes them; only its shape (without the batch size) and dtype matter.
    logits
        For a network that returns a dict, tuple or dataclass: the key, position or attribute of the class scores.

    Raises
    ------
    CaptureError
        With the reason that `torch.export` gives, and what to change.
    DataError
        If `example` is not a batch of images.
    """
    _check_arguments(network, example)
    with torch.inference_mode(False), torch.no_grad():
        shared = _shared_copy(network)
        device = next((tensor.device for tensor in itertools.chain(shared.parameters(), shared.buffers())), None)
        batch = torch.zeros((2, *example.shape[1:]), dtype=example.dtype, device=device or example.device)
        wrapped = _ClassScores(shared, logits)
        program = _export(wrapped, batch, type(network).__name__)
        return _normalise(program, tuple(example.shape[1:]), example.dtype, type(network).__name__)


def evaluating_copy(network: nn.Module, logits: str | int | None = None) -> nn.Module:
    """The network itself, not captured, in evaluation mode, a copy that shares its weights: images -> class scores."""
    return _ClassScores(_shared_copy(network), logits)


def _check_arguments(network: nn.Module, example: Tensor) -> None:
    if not isinstance(network, nn.Module):
        raise CaptureError(f"a torch.nn.Module is needed, found {type(network).__name__}")
    if isinstance(network, torch.jit.ScriptModule):
        raise CaptureError("a scripted network cannot be captured; give the Python module it was made from")
    if any(nn.parameter.is_lazy(tensor) for tensor in itertools.chain(network.parameters(), network.buffers())):
        raise CaptureError("the network has lazy modules without weights yet; call it once on a batch of images")
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise CaptureError(f"the network is wrapped in {type(network).__name__}; give its `.module`")
    if not isinstance(example, Tensor) or example.ndim < 2:
        found = f"shape {tuple(example.shape)}" if isinstance(example, Tensor) else type(example).__name__
        raise DataError(f"`example` must be a batch of images [batch, ...], found {found}")


class _ClassScores(nn.Module):
    """The network, with its class scores picked out of whatever it returns."""

    def __init__(self, network: nn.Module, logits: str | int | None) -> None:
        super().__init__()
        self.network, self.logits = network, logits

    def forward(self, images: Tensor) -> Tensor:
        result = self.network(images)
        return _pick(result, self.logits)


def _pick(result: Any, logits: str | int | None) -> Tensor:
    if logits is None:
        if isinstance(result, Tensor):
            return result
        raise CaptureError(
            f"the network returns a {type(result).__name__}, not one tensor; give logits= "
            f"(the key, position or attribute of the class scores: {_choices(result)})"
        )
    try:
        if isinstance(result, Mapping) or (isinstance(result, Sequence) and isinstance(logits, int)):
            picked = result[logits]  # type: ignore[index]
        else:
            picked = getattr(result, str(logits))
    except (KeyError, IndexError, AttributeError):
        raise CaptureError(f"the network's result has no {logits!r}; it has {_choices(result)}") from None
    if not isinstance(picked, Tensor):
        raise CaptureError(f"logits={logits!r} picks a {type(picked).__name__}, not a tensor")
    return picked


def _choices(result: Any) -> str:
    if isinstance(result, Mapping):
        return ", ".join(repr(key) for key in result)
    if is_dataclass(result):
        return ", ".join(repr(field.name) for field in fields(result))
    if isinstance(result, Sequence):
        return f"positions 0 to {len(result) - 1}"
    return "none that can be listed"


def _shared_copy(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode that shares all parameters and buffers with `network`."""
    memo: dict[int, Any] = {}
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        # Tensors made in inference mode cannot take part in a gradient computation; they alone are copied.
        memo[id(tensor)] = _usable_copy(tensor) if tensor.is_inference() else tensor
    try:
        return copy.deepcopy(network, memo).eval()
    except Exception as error:
        raise CaptureError(
            f"{type(network).__name__} cannot be copied ({_first_line(error)}); unweave works on a copy that shares "
            "the weights: remove what copy.deepcopy cannot copy (open files, locks, non-leaf tensors)"
        ) from error


def _usable_copy(tensor: Tensor) -> Tensor:
    copied = tensor.clone()
    return nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied


def _export(network: nn.Module, batch: Tensor, name: str) -> ExportedProgram:
    try:
        with _quiet():
            program = torch.export.export(network, (batch,), dynamic_shapes=({0: Dim.AUTO},), strict=False)
            # An empty table decomposes nothing: the call is made for what it does besides, turning in-place
            # operations (also through views) into functional ones.
            functional: ExportedProgram = program.run_decompositions({})
            return functional
    except CaptureError:
        raise
    except Exception as error:
        raise CaptureError(
            f"{name} cannot be captured for images of shape {tuple(batch.shape[1:])}: {_first_line(error)} "
            "(usual reasons: another image shape than the network takes, or Python code that decides on the values "
            "of tensors; use tensor operations such as torch.where there)"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """What `torch.export` warns of, logs and prints on its way to an error, no user can act on."""
    noisy = [logging.getLogger(name) for name in ("torch.export", "torch.fx.experimental.symbolic_shapes")]
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _normalise(
    program: ExportedProgram, image_shape: tuple[int, ...], dtype: torch.dtype, network_name: str
) -> NetworkGraph:
    """Weights become attributes, batch norm one operation, views that depend on memory layout become reshapes."""
    signature = program.graph_signature
    specs = {spec.arg.name: spec for spec in signature.input_specs}
    available = {**program.state_dict, **program.constants}
    tensors: dict[str, Tensor] = {}
    attributes: dict[str, str] = {}

    graph = fx.Graph()
    mapping: dict[fx.Node, Any] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            spec = specs[node.name]
            if spec.kind == InputKind.USER_INPUT:
                mapping[node] = graph.placeholder("images")
            else:
                # Tied parameters arrive under several names that mean one tensor: each keeps its name.
                name = str(spec.target).removeprefix("network.")
                attributes[node.name] = name
                tensors[name] = available[str(spec.target)].detach()
                mapping[node] = graph.get_attr(name)
        elif node.op == "output":
            returned = node.args[0][0]
            if len(node.args[0]) != 1 or not isinstance(returned, fx.Node):
                raise CaptureError(
                    "the network changes a buffer or its input in evaluation mode, or returns more than one tensor"
                )
            graph.output(mapping[returned])
            continue
        else:
            mapping[node] = _normal_node(graph, node, mapping)
        mapping[node].meta = dict(node.meta)
    _drop_unused(graph)

    _check_output(next(node for node in graph.nodes if node.op == "output").args[0])
    # Attributes are listed with their owner by fx; a module is needed for that and thrown away again.
    build_module(graph, tensors).graph.lint()
    return NetworkGraph(graph, tensors, _names(graph), image_shape, dtype, network_name)


def _normal_node(graph: fx.Graph, node: fx.Node, mapping: dict[fx.Node, Any]) -> fx.Node:
    def mapped(value: fx.Node) -> Any:
        return mapping[value]

    args = fx.map_arg(node.args, mapped)
    kwargs = fx.map_arg(node.kwargs, mapped)
    if node.target is aten._native_batch_norm_legit_no_training.default:
        values, weight, bias, mean, variance, momentum, epsilon = args
        norm = (values, weight, bias, mean, variance, False, momentum, epsilon, False)
        return graph.call_function(aten.batch_norm.default, norm)
    if node.target is operator.getitem and isinstance(args[0], fx.Node) and args[0].target is aten.batch_norm.default:
        # The decomposed operation returns three tensors of which the first is the result.
        norm_node: fx.Node = args[0]
        norm_node.meta = dict(node.meta)
        return norm_node
    target = node.target
    if target in (aten.view.default, aten._unsafe_view.default):
        target = aten.reshape.default  # also right for channels-last tensors, which `view` refuses
    return graph.create_node(node.op, target, args, kwargs, name=node.name)


def _drop_unused(graph: fx.Graph) -> None:
    """Erase what does not reach the output, assertions about dtype and device among it (both may be changed)."""
    for node in reversed(list(graph.nodes)):
        if node.op in ("output", "placeholder") or node.users:
            continue
        graph.erase_node(node)


def _check_output(returned: Any) -> None:
    value = returned.meta.get("val") if isinstance(returned, fx.Node) else None
    if not isinstance(value, Tensor) or value.ndim != 2 or not value.dtype.is_floating_point:
        shape = tuple(value.shape) if isinstance(value, Tensor) else value
        raise CaptureError(f"the network must return class scores [batch, classes], found {shape}; see logits=")
    if value.shape[-1] == 1:
        raise CaptureError(
            "the network has one output; class sub-architectures need one score per class (two scores z and -z say "
            "the same as one)"
        )
    if isinstance(value.shape[0], int):
        raise CaptureError("the network only takes one batch size: the batch dimension became a constant at capture")


def _names(graph: fx.Graph) -> dict[str, str]:
    """Public names: module path / operation : ordinal, the ordinal counting within (path, operation)."""
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for node in graph.nodes:
        if node.op != "call_function" or not isinstance(node.meta.get("val"), Tensor):
            continue
        stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
        # A module called again is listed as "path@1"; calls are told apart by the ordinal.
        path = stack[-1].split("@")[0].removeprefix("network").removeprefix(".") if stack else ""
        stem = f"{path}/{operation_name(node)}" if path else operation_name(node)
        names[node.name] = f"{stem}:{counts[stem]}"
        counts[stem] += 1
    return names
