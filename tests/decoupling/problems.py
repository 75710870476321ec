"""Small networks to decouple."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Chain(nn.Module):
    """Four convolutions in a row, 3 -> 4 -> 8 -> 4 -> 6 channels; the second has a norm, the third none."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.third, self.last = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.classifier = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        values = functional.relu(self.first(images))
        values = functional.relu(self.norm(self.second(values)))
        values = functional.relu(self.third(values))
        return self.classifier(functional.relu(self.last(values)).mean((2, 3)))


class Block(nn.Module):
    """A residual block with a projection; the last convolution's norm is added without ReLU."""

    def __init__(self, channels_in, channels, stride=1, project=False):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if project:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride), nn.BatchNorm2d(channels))

    def forward(self, values: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(values)))))
        return functional.relu(inner + self.shortcut(values))


class Residual(nn.Module):
    """A stem and two blocks, the first with a projection, the second without."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.one, self.two = Block(4, 6, 2, project=True), Block(6, 6)
        self.classifier = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        values = functional.relu(self.stem(images))
        return self.classifier(self.two(self.one(values)).mean((2, 3)))


class Dense(nn.Module):
    """Pre-activation layers whose outputs are concatenated, as in DenseNet-40."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(4 + 2 * i, 2, 3, padding=1) for i in range(3))
        self.classifier = nn.Linear(10, 3)

    def forward(self, images: Tensor) -> Tensor:
        values = self.stem(images)
        for layer in self.layers:
            values = torch.cat([values, layer(functional.relu(values))], 1)
        return self.classifier(functional.relu(values).mean((2, 3)))


def settled(network, seed=0):
    """The network in evaluation mode, with norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) / 4)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return network.eval()


def choosy(decoupled, seed=0):
    """The decoupled network with controllers that select about half of the filters, other ones for other inputs."""
    generator = torch.Generator().manual_seed(seed)
    for layer in decoupled.controlled.values():
        weight, bias = layer.controller.expand.weight, layer.controller.expand.bias
        reduce = layer.controller.reduce
        with torch.no_grad():
            # hidden units that are alive for inputs after ReLU
            reduce.weight.copy_(torch.rand(reduce.weight.shape, generator=generator))
            reduce.bias.zero_()
            weight.copy_(torch.randn(weight.shape, generator=generator))
            bias.copy_(torch.randn(bias.shape, generator=generator) * 0.5)
    return decoupled.eval()


_SCALES = torch.tensor([0.1, 0.5, 1.0, 3.0, 10.0])
IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(3)) * _SCALES[:, None, None, None]
