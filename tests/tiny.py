"""Networks small enough to work out by hand, one of each connection type; images `[3, 8, 8]`, three classes."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset


class Tiny(nn.Module):
    """`randomised` gives batch norms statistics that are not those of an untrained network."""

    def randomised(self):
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2.0)
                nn.init.normal_(module.weight, 1, 0.2)
                nn.init.normal_(module.bias, 0, 0.2)
        return self.eval()


def _conv(channels_in, channels, stride=1):
    conv = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class TinyPlain(Tiny):
    """Two convolutions, a pool after the first; sites at block level: 4 and 6 channels."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(_conv(3, 4), nn.MaxPool2d(2), _conv(4, 6))
        self.classifier = nn.Linear(6, 3)

    def forward(self, images):
        return self.classifier(self.features(images).mean((2, 3)))


class TinyResidual(Tiny):
    """A stem and two residual blocks with functional ReLU; sites at block level: 4, 4, 6 channels."""

    def __init__(self):
        super().__init__()
        self.stem = _conv(3, 4)
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 6, 3, 2, 1)
        self.shortcut = nn.Conv2d(4, 6, 1, 2)
        self.classifier = nn.Linear(6, 3)

    def forward(self, images):
        values = self.stem(images)
        values = functional.relu(values + self.first(values))
        values = functional.relu(self.second(values) + self.shortcut(values))
        return self.classifier(functional.adaptive_avg_pool2d(values, 1).flatten(1))


class TinyDense(Tiny):
    """A stem and a dense block of two concatenations; sites at block level: 4, 8 channels."""

    def __init__(self):
        super().__init__()
        self.stem = _conv(3, 4)
        self.first, self.second = nn.Conv2d(4, 2, 3, padding=1), nn.Conv2d(6, 2, 3, padding=1)
        self.classifier = nn.Linear(8, 3)

    def forward(self, images):
        values = self.stem(images)
        values = torch.cat([values, functional.relu(self.first(values))], 1)
        values = torch.cat([values, functional.relu(self.second(values))], 1)
        return self.classifier(values.mean((2, 3)))


class TinyPerceptron(Tiny):
    """Two layers on flattened images: sites without positions, 5 and 4 neurons; four classes."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(192, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 4)
        )

    def forward(self, images):
        return self.layers(images)


def labelled_noise(count, classes=3, size=8, dtype=torch.float32):
    """`count` images of noise; the classes take turns."""
    numbers = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, size, size, generator=numbers, dtype=torch.float64).to(dtype)
    return TensorDataset(images, torch.arange(count) % classes)
