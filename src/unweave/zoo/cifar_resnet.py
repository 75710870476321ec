"""The residual networks for CIFAR of He et al. 2016, section 4.2."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

DEPTHS = (20, 32, 44, 56, 110)


class CifarResNet(nn.Module):
    """`depth = 6 blocks + 2` layers: a stem, three stages of 16, 32 and 64 channels, global average, a linear layer.

    Shortcuts have no weights (option A): where a stage begins, every second position is taken and the new channels are
    zero, half of them before the old ones and half behind. Parameters are named as the public versions of these
    networks name them (`conv1`, `bn1`, `layer1.0.conv1`, ..., `linear`), so that their weights fit.

    Parameters
    ----------
    depth
        20, 32, 44, 56 or 110; in general 8 or more, and 2 more than a multiple of 6.
    classes
        How many class scores are returned. Images are `[batch, 3, height, width]`, of 32 x 32 pixels in the paper.
    """

    def __init__(self, depth: int, classes: int = 10) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1, self.bn1 = _convolution(3, 16, 1), nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, 1)
        self.layer2 = _stage(16, 32, blocks, 2)
        self.layer3 = _stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        values = functional.relu(self.bn1(self.conv1(images)))
        values = self.layer3(self.layer2(self.layer1(values)))
        scores: Tensor = self.linear(values.mean((2, 3)))
        return scores


class _Block(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(channels_in, channels, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = _convolution(channels, channels, 1), nn.BatchNorm2d(channels)
        self.stride, self.new_channels = stride, channels - channels_in

    def forward(self, values: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(values)))))
        return functional.relu(inner + self._shortcut(values))

    def _shortcut(self, values: Tensor) -> Tensor:
        if self.stride == 1 and self.new_channels == 0:
            return values
        half = self.new_channels // 2
        return functional.pad(values[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))


def _convolution(channels_in: int, channels: int, stride: int) -> nn.Conv2d:
    convolution = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
    nn.init.kaiming_normal_(convolution.weight)
    return convolution


def _stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    rest = [_Block(channels, channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(_Block(channels_in, channels, stride), *rest)
