"""Small trainings: a chain of four convolutions and 24 coloured squares of three classes."""

import copy
import functools

import torch
from torch.utils.data import Dataset, TensorDataset

from tests.decoupling.problems import Chain, settled
from unweave.data.labelled import labelled
from unweave.decoupling.network import decouple
from unweave.decoupling.training.folder import TrainingFolder
from unweave.decoupling.training.losses import Weights
from unweave.decoupling.training.settings import FitSettings
from unweave.decoupling.training.training import Training
from unweave.errors import DamagedImageError

SETTINGS = FitSettings(
    epochs=3, batch=8, rate=0.05, weights=Weights(sparsity=0.01), augment="cifar", controller_rate=2.0
)


def images(count=24, seed=0):
    """Noise, brighter in the channel that is the image's class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    values = torch.randn(count, 3, 8, 8, generator=generator)
    values[torch.arange(count), labels] += 1
    return TensorDataset(values, labels)


class Scratched(Dataset):
    """The images, one of which cannot be read."""

    def __init__(self, scratched=5):
        self.data, self.scratched = images(), scratched
        self.targets = self.data.tensors[1].tolist()

    def __len__(self):
        return len(self.data)

    def __getitem__(self, position):
        if position == self.scratched:
            raise DamagedImageError("scratched")
        return self.data[position][0], self.targets[position]


@functools.cache
def _decoupled(keep):
    torch.manual_seed(0)
    return decouple(settled(Chain()), images().tensors[0][:2], keep)


def net(keep=0.5):
    """The chain, decoupled, always with the same weights."""
    return copy.deepcopy(_decoupled(keep))


def training(folder=None, *, data=None, validation=True, settings=SETTINGS, keep=0.5, **keywords):
    """A training of the chain in `folder`, with twelve images held out, others, or (False) none."""
    held_out = images(12, seed=1) if validation is True else validation
    return Training(
        net(keep),
        labelled(images() if data is None else data),
        labelled(held_out) if held_out else None,
        settings,
        folder=None if folder is None else TrainingFolder(folder),
        **keywords,
    )
