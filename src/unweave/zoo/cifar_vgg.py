"""VGG-19 for CIFAR: the network of network slimming (Liu et al., ICCV 2017), which pruning papers call VGGNet."""

from __future__ import annotations

from torch import Tensor, nn

_STAGES = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
"""Filters of the convolutions; a pool between two stages halves the size."""


class CifarVgg(nn.Module):
    """Sixteen 3 x 3 convolutions without biases, each with batch norm and ReLU, in five stages; average over positions;
    one linear layer. 398 million multiply-accumulates for an image of 32 x 32 pixels.

    Parameters are named as public versions name them (`feature.0`, `feature.1`, `feature.3`, ..., `classifier`), so
    that their weights fit. The average is theirs too, a pool over the 2 x 2 positions that 32 x 32 pixels leave.

    Parameters
    ----------
    classes
        How many class scores are returned. Images are `[batch, 3, height, width]`, at least 16 x 16 pixels.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage in _STAGES:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for filters in stage:
                layers += [_convolution(channels, filters), nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
                channels = filters
        self.feature = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.classifier(self.feature(images).mean((2, 3)))
        return scores


def _convolution(channels: int, filters: int) -> nn.Conv2d:
    convolution = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution
