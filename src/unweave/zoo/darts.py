"""DARTS-Net: two networks of the cells that Liu et al. (ICLR 2019) found by second-order search (DARTS_V2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_Edges = tuple[tuple[str, int], ...]
"""For each node two edges: the operation, and the number of the value that it reads."""

_NORMAL: _Edges = (
    *(("separable", 0), ("separable", 1)),
    *(("separable", 0), ("separable", 1)),
    *(("separable", 1), ("skip", 0)),
    *(("skip", 0), ("dilated", 2)),
)
_REDUCTION: _Edges = (
    *(("pool", 0), ("pool", 1)),
    *(("skip", 2), ("pool", 1)),
    *(("pool", 0), ("skip", 2)),
    *(("skip", 2), ("pool", 1)),
)
_NODES = 4

AUXILIARY_HEAD = "auxiliary_head."
"""How the names begin of a classifier that published files hold too: it was there for training alone, and has no part
in what the network answers."""


class ImageNetDarts(nn.Module):
    """Two stems, each the half and the quarter of the image's size, fourteen cells, average over positions, a linear
    layer. For 224 x 224 pixels and 1,000 classes 4.7 million parameters and 530 million multiply-accumulates in
    convolutions and the linear layer (the paper says 574, and not what it counts).

    Parameters are named as in published checkpoints (`stem0.0`, `stem1.1`, `cells.0.preprocess0.conv_1`,
    `cells.0._ops.0.op.1`, ..., `classifier`), so that they fit; the auxiliary head of training is left out. The average
    is over all positions: the published 7 x 7 of 224 pixels, or what another size leaves.

    Parameters
    ----------
    classes
        How many class scores are returned. Images are `[batch, 3, height, width]`, both multiples of 32.
    channels
        Of the first cells, an even number; a cell that halves the size doubles them.
    cells
        How many; the ones after a third and two thirds halve the size.
    """

    def __init__(self, classes: int = 1000, *, channels: int = 48, cells: int = 14) -> None:
        super().__init__()
        self.stem0 = nn.Sequential(
            _convolution(3, channels // 2, 3, stride=2),
            nn.BatchNorm2d(channels // 2),
            nn.ReLU(inplace=True),
            _convolution(channels // 2, channels, 3, stride=2),
            nn.BatchNorm2d(channels),
        )
        # In place, as published: the first cell reads the first stem after this ReLU too.
        self.stem1 = nn.Sequential(
            nn.ReLU(inplace=True), _convolution(channels, channels, 3, stride=2), nn.BatchNorm2d(channels)
        )
        made = _cells(cells, channels, channels, stem_halves=True)
        self.cells = nn.ModuleList(made)
        self.classifier = nn.Linear(made[-1].filters, classes)

    def forward(self, images: Tensor) -> Tensor:
        before = self.stem0(images)
        scores: Tensor = self.classifier(_through(self.cells, before, self.stem1(before)).mean((2, 3)))
        return scores


class CifarDarts(nn.Module):
    """A stem of three times the cells' channels, twenty cells, average over positions, a linear layer. 3.3 million
    parameters for ten classes.

    Parameters are named as in published checkpoints (`stem.0`, `cells.0.preprocess0.op.1`, ..., `classifier`), so that
    they fit; the auxiliary head of training is left out.

    Parameters
    ----------
    classes
        How many class scores are returned. Images are `[batch, 3, height, width]`, both multiples of 4.
    channels
        Of the first cells, an even number; a cell that halves the size doubles them.
    cells
        How many; the ones after a third and two thirds halve the size.
    """

    def __init__(self, classes: int = 10, *, channels: int = 36, cells: int = 20) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 3 * channels, 3), nn.BatchNorm2d(3 * channels))
        made = _cells(cells, 3 * channels, channels, stem_halves=False)
        self.cells = nn.ModuleList(made)
        self.classifier = nn.Linear(made[-1].filters, classes)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        scores: Tensor = self.classifier(_through(self.cells, stem, stem).mean((2, 3)))
        return scores


def _cells(count: int, stem: int, channels: int, *, stem_halves: bool) -> list[_Cell]:
    """The cells behind stems of `stem` channels; `stem_halves` where the second stem halves the size of the first."""
    cells: list[_Cell] = []
    before, previous, halved = stem, stem, stem_halves
    for number in range(count):
        halves = number in (count // 3, 2 * count // 3)
        channels *= 1 + halves
        cells.append(_Cell(before, previous, channels, halves=halves, after_halving=halved))
        before, previous, halved = previous, cells[-1].filters, halves
    return cells


def _through(cells: nn.ModuleList, before: Tensor, previous: Tensor) -> Tensor:
    """Each cell reads the two values before it."""
    for cell in cells:
        before, previous = previous, cell(before, previous)
    return previous


class _Cell(nn.Module):
    """Four nodes, each the sum of two operations on what is there already; all four concatenated are the result.

    `before` and `previous` are the channels of the two values that it reads, the first of them twice as large after a
    cell that halved the size; `channels` those of a node.
    """

    def __init__(self, before: int, previous: int, channels: int, *, halves: bool, after_halving: bool) -> None:
        super().__init__()
        edges = _REDUCTION if halves else _NORMAL
        self.filters = _NODES * channels
        self.preprocess0 = _Halving(before, channels) if after_halving else _Pointwise(before, channels)
        self.preprocess1 = _Pointwise(previous, channels)
        self._ops = nn.ModuleList(
            _operation(name, channels, stride=2 if halves and source < 2 else 1) for name, source in edges
        )
        self._sources = tuple(source for _, source in edges)

    def forward(self, before: Tensor, previous: Tensor) -> Tensor:
        values = [self.preprocess0(before), self.preprocess1(previous)]
        read = zip(self._ops, self._sources, strict=True)
        for (first, its_source), (second, its_other) in zip(read, read, strict=True):
            values.append(first(values[its_source]) + second(values[its_other]))
        return torch.cat(values[2:], 1)


class _Pointwise(nn.Module):
    """ReLU, 1 x 1 convolution, batch norm."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.op = nn.Sequential(nn.ReLU(), _convolution(channels, filters, 1), nn.BatchNorm2d(filters))

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.op(values)
        return result


class _Halving(nn.Module):
    """ReLU, then half of the filters on the even positions and half on the odd ones, batch norm. Sizes are even."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv_1 = _convolution(channels, filters // 2, 1, stride=2)
        self.conv_2 = _convolution(channels, filters // 2, 1, stride=2)
        self.bn = nn.BatchNorm2d(filters)

    def forward(self, values: Tensor) -> Tensor:
        values = values.relu()
        result: Tensor = self.bn(torch.cat([self.conv_1(values), self.conv_2(values[:, :, 1:, 1:])], 1))
        return result


class _Convolutions(nn.Module):
    """ReLU, depthwise 3 x 3, pointwise, batch norm, so often as `strides` says."""

    def __init__(self, channels: int, strides: tuple[int, ...], dilation: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stride in strides:
            depthwise = _convolution(channels, channels, 3, stride=stride, dilation=dilation, groups=channels)
            layers += [nn.ReLU(), depthwise, _convolution(channels, channels, 1), nn.BatchNorm2d(channels)]
        self.op = nn.Sequential(*layers)

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.op(values)
        return result


def _operation(name: str, channels: int, *, stride: int) -> nn.Module:
    if name == "separable":
        return _Convolutions(channels, (stride, 1))
    if name == "dilated":
        return _Convolutions(channels, (stride,), dilation=2)
    if name == "pool":
        return nn.MaxPool2d(3, stride, 1)
    return nn.Identity()  # in these cells, a skip never halves the size


def _convolution(
    channels: int, filters: int, size: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    padding = dilation * (size // 2)
    convolution = nn.Conv2d(channels, filters, size, stride, padding, dilation, groups, bias=False)
    nn.init.kaiming_normal_(convolution.weight)
    return convolution
