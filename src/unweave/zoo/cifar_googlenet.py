"""GoogLeNet for CIFAR: the inception network of Szegedy et al. 2015 without its stem, as pruning papers use it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_WIDTHS = {
    "a3": (64, (96, 128), (16, 32), 32),
    "b3": (128, (128, 192), (32, 96), 64),
    "a4": (192, (96, 208), (16, 48), 64),
    "b4": (160, (112, 224), (24, 64), 64),
    "c4": (128, (128, 256), (24, 64), 64),
    "d4": (112, (144, 288), (32, 64), 64),
    "e4": (256, (160, 320), (32, 128), 128),
    "a5": (256, (160, 320), (32, 128), 128),
    "b5": (384, (192, 384), (48, 128), 128),
}
"""Table 1 of the paper: filters of the 1 x 1 branch; reduction and convolution of the 3 x 3 and of the 5 x 5 branch;
filters of the branch behind a pool. `a3` there is inception (3a)."""
_STEM = 192


class CifarGoogLeNet(nn.Module):
    """A convolution of 192 filters, nine inceptions at 32 x 32, 16 x 16 and 8 x 8 positions, average, a linear layer.
    1.52 billion multiply-accumulates for an image of 32 x 32 pixels.

    Batch norm and ReLU follow every convolution; the 5 x 5 branches are two convolutions of 3 x 3. Parameters are named
    as public versions name them (`pre_layers.0`, `a3.b1.0`, ..., `linear`), so that their weights fit.

    Parameters
    ----------
    classes
        How many class scores are returned. Images are `[batch, 3, height, width]`, of 32 x 32 pixels usually.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.pre_layers = nn.Sequential(*_convolution(3, _STEM, 3))
        channels = _STEM
        for name, widths in _WIDTHS.items():
            inception = _Inception(channels, *widths)
            self.add_module(name, inception)
            channels = inception.channels
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.linear = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        values = self.pre_layers(images)
        for name in _WIDTHS:
            if name in ("a4", "a5"):
                values = self.maxpool(values)
            values = self.get_submodule(name)(values)
        scores: Tensor = self.linear(values.mean((2, 3)))
        return scores


class _Inception(nn.Module):
    """Four branches on the same input, concatenated: 1 x 1, 3 x 3, 5 x 5, and a 1 x 1 behind a pool."""

    def __init__(
        self, channels: int, single: int, middle: tuple[int, int], large: tuple[int, int], behind_pool: int
    ) -> None:
        super().__init__()
        self.channels = single + middle[1] + large[1] + behind_pool
        self.b1 = nn.Sequential(*_convolution(channels, single, 1))
        self.b2 = nn.Sequential(*_convolution(channels, middle[0], 1), *_convolution(*middle, 3))
        self.b3 = nn.Sequential(
            *_convolution(channels, large[0], 1), *_convolution(*large, 3), *_convolution(large[1], large[1], 3)
        )
        self.b4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *_convolution(channels, behind_pool, 1))

    def forward(self, values: Tensor) -> Tensor:
        return torch.cat([self.b1(values), self.b2(values), self.b3(values), self.b4(values)], 1)


def _convolution(channels: int, filters: int, size: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, filters, size, padding=size // 2)  # its bias is in the public weights
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return convolution, nn.BatchNorm2d(filters), nn.ReLU(inplace=True)
