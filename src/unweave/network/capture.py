"""From the user's module to a `NetworkGraph`, without touching the module."""

from __future__ import annotations

import io
import itertools
import logging
import operator
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind

from unweave.errors import CaptureError
from unweave.network.class_scores import ClassScores, check_class_scores
from unweave.network.graph import NetworkGraph, build_module, operation_name
from unweave.network.refusals import check_example, check_inputs, check_module, check_numbers, why_not_captured
from unweave.network.shared_copy import shared_copy, unwrapped

aten = torch.ops.aten

_Captures = dict[tuple[Any, ...], tuple[nn.Module, NetworkGraph]]
_CAPTURES: ContextVar[_Captures | None] = ContextVar("_CAPTURES", default=None)


@contextmanager
def captured_once() -> Iterator[None]:
    """Within the block a network is captured once for images of one kind: for several measures of a network that
    nothing changes meanwhile. Outside nothing is kept, because a user may change a network between two calls."""
    if _CAPTURES.get() is not None:
        yield
        return
    before = _CAPTURES.set({})
    try:
        yield
    finally:
        _CAPTURES.reset(before)


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
    check_module(network)
    check_example(example)
    captures = _CAPTURES.get()
    if captures is None:
        return _captured(network, example, logits)
    kind = (id(network), tuple(example.shape[1:]), example.dtype, logits)
    if kind not in captures:
        captures[kind] = network, _captured(network, example, logits)  # the network, too, so that its id stays its own
    return captures[kind][1]


def _captured(network: nn.Module, example: Tensor, logits: str | int | None) -> NetworkGraph:
    network = unwrapped(network)
    check_inputs(network)
    with torch.inference_mode(False), torch.no_grad():
        shared = shared_copy(network)
        device = next((tensor.device for tensor in itertools.chain(shared.parameters(), shared.buffers())), None)
        batch = torch.zeros((2, *example.shape[1:]), dtype=example.dtype, device=device or example.device)
        wrapped = ClassScores(shared, logits)
        program = _export(wrapped, batch, type(network).__name__)
        return _normalise(program, tuple(example.shape[1:]), example.dtype, type(network).__name__)


def evaluating_copy(network: nn.Module, logits: str | int | None = None) -> nn.Module:
    """The network itself, not captured, in evaluation mode, a copy that shares its weights: images -> class scores.

    Raises
    ------
    CaptureError
        If the network cannot be copied, or is on the meta device.
    """
    check_numbers(network)
    return ClassScores(shared_copy(network), logits)


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
        raise CaptureError(why_not_captured(error, name, tuple(batch.shape[1:]))) from error


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
        elif (unchanged := _passed_on(node)) is not None:
            mapping[node] = mapping[unchanged]
            continue
        else:
            mapping[node] = _normal_node(graph, node, mapping)
        mapping[node].meta = dict(node.meta)
    _drop_unused(graph)

    images = next(node for node in graph.nodes if node.op == "placeholder")
    check_class_scores(next(node for node in graph.nodes if node.op == "output").args[0], images)
    _check_precision(graph)
    # Attributes are listed with their owner by fx; a module is needed for that and thrown away again.
    build_module(graph, tensors).graph.lint()
    return NetworkGraph(graph, tensors, _names(graph), image_shape, dtype, network_name)


def _passed_on(node: fx.Node) -> fx.Node | None:
    """The value that an operation hands on as it is: padding by nothing copies all of it, a slice may take all."""
    source: Any = node.args[0] if node.args else None
    if not isinstance(source, fx.Node):
        return None
    widths: Any = node.args[1] if len(node.args) > 1 else ()
    if node.target in (aten.pad.default, aten.constant_pad_nd.default) and not any(widths):
        return source
    whole = node.target is aten.slice.Tensor and node.args[2:4] == (0, sys.maxsize) and node.args[4:] in ((), (1,))
    return source if whole else None


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


def _check_precision(graph: fx.Graph) -> None:
    """A convolution of images in another precision than its weights passes `torch.export`, and fails when it is run."""
    for node in graph.nodes:
        if node.op != "call_function" or not operation_name(node).startswith("conv"):
            continue
        images, weight = (argument.meta["val"].dtype for argument in node.args[:2])
        if images != weight:
            here, there = (str(dtype).removeprefix("torch.") for dtype in (weight, images))
            raise CaptureError(
                f"weights in {here} meet values in {there}; give images in {here}, or convert the network: "
                f"network.to({images})"
            )


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
