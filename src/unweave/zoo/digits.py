"""The demo's network: a small residual network for 8 x 8 digits, trained in seconds."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unweave.data.digits import Digits


class DigitsNetwork(nn.Module):
    """A stem, three residual blocks of 32 to 64 channels, global average, ten scores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.blocks = nn.Sequential(_Block(32, 32, 1), _Block(32, 64, 2), _Block(64, 64, 1))
        self.classifier = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.classifier(self.blocks(self.stem(images)).mean((2, 3)))
        return scores


class _Block(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        same = stride == 1 and channels_in == channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        return functional.relu(self.inner(values) + self.shortcut(values))


def train_digits_network(seed: int = 0, epochs: int = 12) -> DigitsNetwork:
    """Train on three quarters of scikit-learn's digits (about 98 % on the rest).

    The global random state is restored.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        network = DigitsNetwork()
        digits = Digits(train=True)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-2)
        steps = epochs * -(-len(digits) // 64)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(len(digits)), 64):
                loss = functional.cross_entropy(network(digits.images[batch]), digits.targets[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return network.eval()
