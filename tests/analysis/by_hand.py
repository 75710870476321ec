"""A network whose answers are obvious: channel k is the evidence for class k, and the last class is the default."""

from functools import cache

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from unweave.network.fingerprint import fingerprint
from unweave.network.sites import find_sites
from unweave.paths import Paths, Rows

SITE = "relu:0"
CLASSES = 4


class ReadOut(nn.Module):
    """Score k is the mean of channel k; 0.25 more for the last class, which wins where nothing is seen."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(CLASSES, CLASSES, 1, bias=False)
        self.classifier = nn.Linear(CLASSES, CLASSES)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(CLASSES)[:, :, None, None])
            self.classifier.weight.copy_(torch.eye(CLASSES))
            self.classifier.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.25]))

    def forward(self, images):
        return self.classifier(torch.relu(self.conv(images)).mean((2, 3)))


def pictures(shown, labels=None):
    """One picture an entry of `shown`, lit in that channel alone; labelled as `labels` says, or as shown."""
    images = torch.eye(CLASSES)[torch.tensor(shown)][:, :, None, None].expand(-1, -1, 2, 2).clone()
    return TensorDataset(images, torch.tensor(shown if labels is None else labels))


def keeping(network, channels, classes=None, names=None, rows=None, sites=None):
    """Paths of `network`: row i keeps the listed channels; rows stand for `classes` (0, 1, ... by default)."""
    mask = torch.zeros(len(channels), CLASSES, dtype=torch.bool)
    for row, kept in enumerate(channels):
        mask[row, list(kept)] = True
    rows = rows or Rows.of_classes(range(len(channels)) if classes is None else classes, names)
    return Paths({SITE: mask}, rows, sites or _sites(), {"method": "by hand", "network": fingerprint(network)})


def grouped(network, channels, members, against=(), names=None):
    """Paths of `network`: row i keeps the listed channels, stands for `members[i]`, and was told apart from
    `against[i]` (default: from all others)."""
    names = names or [f"group {i}" for i in range(len(members))]
    return keeping(network, channels, rows=Rows.of_groups(members, against or [()] * len(members), names))


@cache
def _sites():
    return find_sites(ReadOut(), torch.zeros(2, CLASSES, 2, 2))


def as_searched(paths, data, positions, **settings):
    """The same paths, as if a search had seen the images of `data` at `positions`."""
    searched = data.fingerprint(np.unique(positions))
    manifest = {**paths.manifest, "seed": 0, "settings": settings, "data": {"search": searched}}
    return Paths(paths.masks, paths.rows, paths.sites, manifest)


class Torn(Dataset):
    """`data`, of which the items at `damaged` cannot be read; hides its labels unless `known`."""

    def __init__(self, data, damaged, known=True):
        self.data, self.damaged = data, damaged
        if known:
            self.targets = data.tensors[1]

    def __len__(self):
        return len(self.data)

    def __getitem__(self, position):
        if position in self.damaged:
            raise OSError("image file is truncated")
        return self.data[position]
