"""Trained blocks as one wide network: weights between blocks are zero, channels permuted, their sizes drawn anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unweave.planted.architecture import PlantedNetwork, last_values, layers_of, stream_of
from unweave.planted.blocks import Blocks, Trained

_SIZED_ON = 500


@dataclass(frozen=True)
class Merged:
    """`network`, and where its channels come from: channel `places[layer][i]` of a layer is the blocks' channel i."""

    network: PlantedNetwork
    places: list[np.ndarray]


def merge(blocks: Blocks, trained: Trained, images: Tensor, spread: float, draw: np.random.Generator) -> Merged:
    """Write the blocks into one network that computes the same class scores.

    A ReLU network does not change if a channel is multiplied with a positive number and whatever reads it divided by
    it. So every channel is given a mean absolute activation of `exp(spread * n)` on `images` (some 500 of them), `n`
    drawn from N(0, 1): how active a channel is on average is then drawn. What it still tells, because experts are more
    active on their own class, `balance` evens out.
    """
    streams = stream_of(blocks.kind)
    drawn = {stream: draw.permutation(blocks.channels) for stream in sorted(set(streams))}
    places = [drawn[stream] for stream in streams]
    network = PlantedNetwork(blocks.kind, blocks.channels, blocks.classes).eval().requires_grad_(False)
    _write(network, blocks, trained, places)
    wanted = {stream: np.exp(spread * draw.standard_normal(blocks.channels)) for stream in drawn}
    sizes = _mean_activations(network, images[:: -(-len(images) // _SIZED_ON)])
    scales = {stream: torch.from_numpy(wanted[stream]).float() / sizes[stream].clamp_min(1e-3) for stream in drawn}
    rescale(network, [scales[stream] for stream in streams])
    return Merged(network, places)


def _write(network: PlantedNetwork, blocks: Blocks, trained: Trained, places: list[np.ndarray]) -> None:
    width, channels = blocks.width, blocks.channels
    block = np.arange(channels) // width
    for number, layer in enumerate(layers_of(blocks.kind)):
        (weight, bias), place = network.weight_and_bias(number), torch.from_numpy(places[number])
        weight.zero_()
        bias[place] = trained.biases[number]
        if not layer.reads:
            weight[place] = trained.weights[number]
        for part, source in enumerate(layer.reads):
            for k in range(width):
                column = part * channels + torch.from_numpy(places[source][block * width + k])
                weight[place, column] = trained.weights[number][:, part * width + k]
    for part, source in enumerate(last_values(blocks.kind)):
        here = trained.head[:, part * channels : (part + 1) * channels]
        network.classifier.weight[:, part * channels + torch.from_numpy(places[source])] = here
    network.classifier.bias.copy_(trained.head_bias)


def _mean_activations(network: PlantedNetwork, images: Tensor) -> list[Tensor]:
    """Of every layer, `[channels]`, after its ReLU."""
    means: list[Tensor] = []
    handles = [
        activation.register_forward_hook(lambda _, __, value: means.append(value.mean((0, 2, 3))))
        for activation in network.activations
    ]
    network(images)
    for handle in handles:
        handle.remove()
    return means


def rescale(network: PlantedNetwork, scales: list[Tensor]) -> None:
    """Multiply the channels of every layer with its `scales` (`[channels]`, positive) and divide what reads them by it,
    which does not change the network's scores. Layers whose values are added must share theirs."""
    for number, layer in enumerate(layers_of(network.kind)):
        weight, bias = network.weight_and_bias(number)
        weight.mul_(scales[number][:, None, None, None])
        bias.mul_(scales[number])
        if layer.reads:
            weight.div_(torch.cat([scales[i] for i in layer.reads])[:, None, None])
    network.classifier.weight.div_(torch.cat([scales[i] for i in last_values(network.kind)]))
