"""A class's part of a planted network: the channels that reach its score, as a small network of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unweave.planted.architecture import PlantedNetwork, last_values, layers_of


class Part:
    """The channels `channels[layer]` (positions, as many of every layer) of `network`, with the class's score alone.

    Its weights are copies of the network's own; those from channels outside are left out. So it has the network's score
    for the class exactly where channels outside do nothing to it, which `Ablation` checks.
    """

    def __init__(self, network: PlantedNetwork, channels: Sequence[np.ndarray], index: int) -> None:
        kind, width = network.kind, len(channels[0])
        self.network = PlantedNetwork(kind, width, 1).eval().requires_grad_(False)
        rows = [torch.from_numpy(positions) for positions in channels]
        all_channels = len(network.weight_and_bias(0)[1])
        for number, layer in enumerate(layers_of(kind)):
            weight, bias = network.weight_and_bias(number)
            read = _columns(rows, layer.reads, all_channels) if layer.reads else torch.tensor([0])
            own_weight, own_bias = self.network.weight_and_bias(number)
            own_weight.copy_(weight[rows[number]][:, read])
            own_bias.copy_(bias[rows[number]])
        read = _columns(rows, last_values(kind), all_channels)
        self.network.classifier.weight.copy_(network.classifier.weight[index, read])
        self.network.classifier.bias.copy_(network.classifier.bias[index])

    def scores(self, images: Tensor) -> Tensor:
        """`[images]`: the class's."""
        with torch.no_grad():
            scores: Tensor = self.network(images)[:, 0]
        return scores

    def scores_without(self, images: Tensor, layer: int, channel: int) -> Tensor:
        """`[images]`: with one of the part's own channels removed.

        Its weights and bias are zero for the moment: what a gate of 0 does behind the convolution, or behind its ReLU.
        """
        weight, bias = self.network.weight_and_bias(layer)
        kept = weight[channel].clone(), bias[channel].clone()
        weight[channel], bias[channel] = 0.0, 0.0
        try:
            return self.scores(images)
        finally:
            weight[channel], bias[channel] = kept


def _columns(rows: Sequence[Tensor], read: Sequence[int], channels: int) -> Tensor:
    """Where the part's channels are among the concatenated values of the layers `read`, of `channels` each."""
    return torch.cat([part * channels + rows[layer] for part, layer in enumerate(read)])
