"""How the values of a graph are seen image by image: where each image's channels, heads or neurons are."""

from __future__ import annotations

from functools import cached_property

from torch import fx

from unweave.network.attention import View, attention_heads
from unweave.network.batch_place import BatchPlace, batch_places
from unweave.network.graph import NetworkGraph, concrete_shape, gives_tensor
from unweave.network.layouts import Layout, layouts
from unweave.network.operations import Effect, computed_from_images, data_inputs, operation_of

_CARRIED = (Effect.KEEP, Effect.NORM, Effect.MOVE)


class Views:
    """The views of one graph's values. What only attention needs is worked out when it is first asked for."""

    def __init__(self, captured: NetworkGraph) -> None:
        self.captured = captured
        self.layouts: dict[fx.Node, Layout] = layouts(captured.graph)

    @cached_property
    def places(self) -> dict[fx.Node, BatchPlace]:
        """Where the batch is."""
        return batch_places(self.captured.graph)

    @cached_property
    def heads(self) -> dict[fx.Node, View]:
        """The values whose channels are attention heads."""
        return attention_heads(self.captured.graph, self.places)

    def of(self, node: fx.Node) -> View | None:
        """One image's channels in the value of `node`; None where they are not known, or images are not kept apart."""
        layout, shape = self.layouts.get(node), concrete_shape(node)
        if layout is None or shape is None or not gives_tensor(node):
            return None
        if layout.dim is None:
            return self.heads.get(node)
        if layout.batch_first:
            return View(shape[1:], layout.dim, layout.count)
        place = self.places.get(node)
        if place is None or not place.image_by_image or layout.dim == 0:
            return None
        return View((place.inner, *shape[1:]), layout.dim + 1, layout.count)

    def neurons(self) -> list[fx.Node]:
        """Activations between two linear layers, in forward order: the hidden neurons of multi-layer perceptrons."""
        computed = computed_from_images(self.captured.graph)
        return [
            node
            for node in self.captured.graph.nodes
            if node in self.layouts
            and operation_of(node).activation
            and _is_linear(_layer_before(node, computed))
            and _reaches_linear(node)
            and self.of(node) is not None
        ]


def _is_linear(node: fx.Node | None) -> bool:
    operation = None if node is None else operation_of(node)
    return operation is not None and operation.effect is Effect.MIX and operation.mixes == -1


def _layer_before(node: fx.Node, computed: set[fx.Node]) -> fx.Node | None:
    """The layer whose channels a value carries, if only norms, activations and moves lie between."""
    while len(inputs := data_inputs(node, computed)) == 1:
        node = inputs[0]
        effect = operation_of(node).effect
        if effect is Effect.MIX:
            return node
        if effect not in _CARRIED:
            return None
    return None


def _reaches_linear(node: fx.Node) -> bool:
    """Whether the value goes, perhaps through a norm or a product with a gate, into linear layers and nothing else."""
    users = [user for user in node.users if gives_tensor(user)]
    return bool(users) and all(
        _is_linear(user)
        or ((operation_of(user).effect in _CARRIED or operation_of(user).multiplies) and _reaches_linear(user))
        for user in users
    )
