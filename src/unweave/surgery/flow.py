"""What flows where: which channels are constant (forward), and which are needed (backward)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from unweave.network.graph import concrete_shape
from unweave.slicing.channels import Channels
from unweave.surgery.marking import MarkedGraph
from unweave.surgery.rules.base import Rule
from unweave.surgery.rules.table import rule_of


class Flow:
    """Channels of every value that images have a part in.

    One pass forward finds the channels that the masks make constant: a channel that is zero stays so through a ReLU,
    becomes another constant in a norm, and adds a constant to a convolution. One pass backward from the class scores
    finds those that are needed. What is needed and not constant is `wanted`: it has to be computed.

    `classes`: the positions of the class scores that are needed.
    """

    def __init__(self, marked: MarkedGraph, classes: Sequence[int]) -> None:
        self.marked = marked
        self.static = marked.static
        self.channels: dict[fx.Node, Channels] = {}
        self._needed: dict[fx.Node, Tensor] = {}
        self.rules: dict[fx.Node, Rule] = {}
        nodes = [node for node in marked.graph.nodes if node not in self.static]
        self.nodes = [node for node in nodes if self._is_value(node)]
        for node in self.nodes:
            self.rules[node] = rule_of(node, self)
            self.channels[node] = self.rules[node].channels(node, self)
            self._needed[node] = torch.zeros(self.channels[node].count, dtype=torch.bool)
        scores = torch.zeros(self.shape(marked.output)[1], dtype=torch.bool)
        scores[list(classes)] = True
        self.need(marked.output, 1, scores)
        for node in reversed(self.nodes):
            if (wanted := self.wanted(node)).any():
                self.rules[node].require(node, self, wanted)

    @staticmethod
    def _is_value(node: fx.Node) -> bool:
        return node.op in ("placeholder", "call_function") and isinstance(node.meta.get("val"), Tensor | tuple | list)

    def follows(self, node: object) -> bool:
        """Whether `node` is a value that images have a part in."""
        return isinstance(node, fx.Node) and node in self.channels

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape of a value, for a batch of two (of the first, where there are several)."""
        shape = concrete_shape(node)
        assert shape is not None
        return shape

    def along(self, node: fx.Node, dim: int) -> Channels:
        """The channels of a value in dimension `dim`: nothing is known where they are followed in another one."""
        found = self.channels[node]
        return found if found.dim == dim else Channels.unknown(dim, self.shape(node)[dim])

    def need(self, node: fx.Node, dim: int | None, channels: Tensor) -> None:
        """Note that `channels` (`Bool[channels]` along `dim`) of a value are needed."""
        found = self.channels[node]
        if found.dim == dim and dim is not None:
            self._needed[node] |= channels
        elif bool(channels.any()):
            self._needed[node][:] = True

    def need_all(self, node: fx.Node) -> None:
        """Note that all of a value is needed."""
        self._needed[node][:] = True

    def wanted(self, node: fx.Node) -> Tensor:
        """`Bool[channels]`: what of a value has to be computed."""
        return self._needed[node] & ~self.channels[node].known
