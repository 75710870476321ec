"""Three networks that differ in one thing: what a unit does with its input beside computing from it."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from unweave.network.sites import Sites, find_sites

KINDS = ("plain", "residual", "dense")
STAGES = 3
CLASSES = 10


class Unit(nn.Module):
    """`f`: two 3 x 3 convolutions with norms, a ReLU between them. Of input `x`, the unit's output is

    - `plain`: `relu(f(x))`
    - `residual`: `relu(f(x) + x)`
    - `dense`: `x` and `relu(f(x))`, concatenated.
    """

    def __init__(self, kind: str, channels_in: int, inner: int, channels: int) -> None:
        super().__init__()
        self.kind = kind
        self.inner = nn.Sequential(
            nn.Conv2d(channels_in, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, values: Tensor) -> Tensor:
        computed = self.inner(values)
        if self.kind == "residual":
            return functional.relu(computed + values)
        if self.kind == "dense":
            return torch.cat([values, functional.relu(computed)], 1)
        return functional.relu(computed)


class Twin(nn.Module):
    """A stem of `width` channels, three stages of `units` units with a halving of the size between them (1 x 1
    convolution, norm, ReLU, average pool), global average, a linear layer to ten scores.

    Stages of `plain` and `residual` have `width`, twice and four times as many channels. A stage of `dense` begins with
    as many and grows by `2 / (units + 1)` of them a unit: then the convolutions of its units have as many weights as
    those of the others. What differs by connection is the input of the transitions and of the linear layer, which is
    wider in `dense`.
    """

    def __init__(self, kind: str, width: int = 16, units: int = 3, stride: int = 2) -> None:
        super().__init__()
        self.kind, self.units = kind, units
        parts: OrderedDict[str, nn.Module] = OrderedDict(stem=_normed(nn.Conv2d(3, width, 3, stride, 1, bias=False)))
        channels = width
        for stage in range(STAGES):
            wide = width * 2**stage
            if stage:
                shrink = nn.Conv2d(channels, wide, 1, bias=False)
                parts[f"transition{stage}"] = _normed(shrink, nn.AvgPool2d(2))
                channels = wide
            for unit in range(units):
                made = round(2 * wide / (units + 1)) if kind == "dense" else wide
                parts[f"unit{stage + 1}{unit + 1}"] = Unit(kind, channels, wide, made)
                channels = channels + made if kind == "dense" else made
        self.parts = nn.Sequential(parts)
        self.classifier = nn.Linear(channels, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.classifier(self.parts(images).mean((2, 3)))
        return scores


def _normed(convolution: nn.Conv2d, *after: nn.Module) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(), *after)


def twin(kind: str, seed: int, **sizes: int) -> Twin:
    """An untrained one. The global random state is restored."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Twin(kind, **sizes)


def sites_of(network: Twin, example: Tensor) -> Sites:
    """What leaves the stem, each unit (the sum in `residual`, the concatenation in `dense`) and each transition."""
    unit = "cat" if network.kind == "dense" else "relu"
    last = {"stem": ".2/relu", "transition1": ".3/avg_pool2d", "transition2": ".3/avg_pool2d"}
    names = [f"parts.{name}{last.get(name, f'/{unit}')}:0" for name, _ in network.parts.named_children()]
    return find_sites(network, example, names)


def parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(one.numel() for one in network.parameters())
