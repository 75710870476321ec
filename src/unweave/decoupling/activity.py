"""Which channels of each value can be non-zero, for every input, given which filters are selected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from unweave.network.graph import concrete_shape, operation_name
from unweave.network.operations import Effect, computed_from_images, data_inputs, operation_of

Activity = Tensor | None
"""`Bool[batch, channels]`: channels that can be non-zero; None: all of them."""


def channel_activity(graph: fx.Graph, gated: Mapping[fx.Node, Tensor], batch: int) -> dict[fx.Node, Activity]:
    """Channels that can be non-zero at every value of `graph` with four dimensions `[batch, channels, height, width]`.

    `gated` gives the gates `[batch, channels]` that a value is masked with. A norm with a shift behind a gated channel
    makes it non-zero; where an operation is not known to keep zeros, all channels count.
    """
    computed = computed_from_images(graph)
    found: dict[fx.Node, Activity] = {}
    for node in graph.nodes:
        if node not in computed:
            continue
        if node in gated:
            found[node] = gated[node] > 0
            continue
        sources = [found.get(source) for source in data_inputs(node, computed)]
        found[node] = _through(node, sources, computed, batch)
    return found


def _through(node: fx.Node, sources: list[Activity], computed: set[fx.Node], batch: int) -> Activity:
    shape = concrete_shape(node)
    if shape is None or len(shape) != 4:
        return None
    effect, name = operation_of(node).effect, operation_name(node)
    if operation_of(node).keeps_zero:
        return sources[0]
    if effect is Effect.COMBINE:
        return _combined(node, sources, computed, shape)
    if effect is Effect.CONCATENATE:
        return _concatenated(node, sources, computed, batch)
    if effect is Effect.PAD:
        return _padded(node, sources[0], batch)
    if name == "slice":
        return _sliced(node, sources[0])
    return None


_ZERO_OF_ZEROS = ("add", "sub", "rsub", "maximum", "minimum", "addcmul")


def _combined(node: fx.Node, sources: list[Activity], computed: set[fx.Node], shape: tuple[int, ...]) -> Activity:
    """A sum can be non-zero where one side can, a product where both can. Other operands may be anything."""
    inputs = data_inputs(node, computed)
    if operation_of(node).multiplies:
        known = [
            source
            for source, value in zip(sources, inputs, strict=True)
            if source is not None and concrete_shape(value) == shape
        ]
        if operation_name(node) == "div" and (not inputs or inputs[0] is not node.args[0]):
            return None
        return torch.stack(known).all(0) if known else None
    alone = len(inputs) < 2 or any(concrete_shape(value) != shape for value in inputs)
    if operation_name(node) not in _ZERO_OF_ZEROS or alone or any(source is None for source in sources):
        return None
    return torch.stack([source for source in sources if source is not None]).any(0)


def _concatenated(node: fx.Node, sources: list[Activity], computed: set[fx.Node], batch: int) -> Activity:
    inputs = data_inputs(node, computed)
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    if dim not in (1, -3) or len(inputs) != len(_listed(node.args[0])) or all(source is None for source in sources):
        return None
    parts = []
    for value, source in zip(inputs, sources, strict=True):
        shape = concrete_shape(value)
        assert shape is not None
        parts.append(source if source is not None else torch.ones(batch, shape[1], dtype=torch.bool))
    device = next(source.device for source in sources if source is not None)
    return torch.cat([part.to(device) for part in parts], 1)


def _padded(node: fx.Node, source: Activity, batch: int) -> Activity:
    """Padding with zeros; six widths reach the channels, which are new zeros on either side."""
    widths = _listed(node.args[1])
    value = node.args[3 if operation_name(node) == "pad" else 2 :][:1]
    constant = operation_name(node) == "constant_pad_nd" or node.args[2:3] in ((), ("constant",))
    if source is None and len(widths) == 6:
        shape = concrete_shape(node.all_input_nodes[0])
        assert shape is not None
        source = torch.ones(batch, shape[1], dtype=torch.bool)
    if source is None or len(widths) > 6 or not constant or value not in ((), (None,), (0,)):
        return source if len(widths) <= 4 and not constant else None
    before, after = (widths[4], widths[5]) if len(widths) == 6 else (0, 0)
    return torch.nn.functional.pad(source, (before, after))


def _sliced(node: fx.Node, source: Activity) -> Activity:
    dim, start, end = (*node.args[1:4], 0, 0, None)[:3] if len(node.args) >= 4 else (0, 0, None)
    step = node.args[4] if len(node.args) > 4 else 1
    if source is None or dim not in (1, -3):
        return source
    return source[:, start:end:step]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
