"""How the convolutions of a planted network are connected, and its forward pass, whole or in separate blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Kind = Literal["plain", "residual", "concatenating"]
KINDS: tuple[Kind, ...] = ("plain", "residual", "concatenating")


@dataclass(frozen=True)
class Layer:
    """One convolution of 3 x 3. `reads`: the layers whose values it gets, concatenated; none: the image. `adds`: the
    layer whose value is added to its output before the ReLU. `pools`: whether 2 x 2 positions become one after it."""

    reads: tuple[int, ...]
    adds: int | None = None
    pools: bool = False


_LAYERS: dict[Kind, tuple[Layer, ...]] = {
    "plain": (Layer((), pools=True), Layer((0,)), Layer((1,))),
    "residual": (Layer((), pools=True), Layer((0,)), Layer((1,), adds=0), Layer((2,)), Layer((3,), adds=2)),
    "concatenating": (Layer((), pools=True), Layer((0,)), Layer((0, 1))),
}


def layers_of(kind: Kind) -> tuple[Layer, ...]:
    """The convolutions in forward order."""
    return _LAYERS[kind]


def last_values(kind: Kind) -> tuple[int, ...]:
    """The layers that the class scores read."""
    return (0, 1, 2) if kind == "concatenating" else (len(_LAYERS[kind]) - 1,)


def stream_of(kind: Kind) -> list[int]:
    """For each layer, the first layer whose channels are its own: values that are added share their channels."""
    found: list[int] = []
    for number, layer in enumerate(_LAYERS[kind]):
        found.append(number if layer.adds is None else found[layer.adds])
    return found


class PlantedNetwork(nn.Module):
    """Convolutions `convolutions[i]` with ReLUs `activations[i]`, global average, `classifier`.

    A plain user's network: nothing in it tells which channels belong to which class.
    """

    def __init__(self, kind: Kind, channels: int, classes: int) -> None:
        super().__init__()
        self.kind: Kind = kind
        layers = layers_of(kind)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(max(1, len(layer.reads)) * channels if layer.reads else 1, channels, 3, padding=1)
            for layer in layers
        )
        self.activations = nn.ModuleList(nn.ReLU() for _ in layers)
        self.classifier = nn.Linear(channels * len(last_values(kind)), classes)

    def weight_and_bias(self, layer: int) -> tuple[Tensor, Tensor]:
        """Of one convolution."""
        convolution = self.convolutions[layer]
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        return convolution.weight, convolution.bias

    def forward(self, images: Tensor) -> Tensor:
        values: list[Tensor] = []
        for layer, convolution, activation in zip(
            layers_of(self.kind), self.convolutions, self.activations, strict=True
        ):
            value = convolution(_read(values, layer.reads, images))
            if layer.adds is not None:
                value = value + values[layer.adds]
            value = activation(value)
            values.append(functional.max_pool2d(value, 2) if layer.pools else value)
        scores: Tensor = self.classifier(_read(values, last_values(self.kind), images).mean((2, 3)))
        return scores


def _read(values: Sequence[Tensor], reads: Sequence[int], images: Tensor) -> Tensor:
    if not reads:
        return images
    return values[reads[0]] if len(reads) == 1 else torch.cat([values[i] for i in reads], 1)
