"""A data set some of whose items fail."""

import os
import signal

import torch
from torch.utils.data import Dataset


class Flawed(Dataset):
    """Image k is full of k; where `errors` has an exception for it, that is raised. Labels are k % 3."""

    def __init__(self, count, errors, known=True):
        self.count, self.errors, self.reads = count, errors, []
        if known:
            self.targets = [position % 3 for position in range(count)]

    def __len__(self):
        return self.count

    def __getitem__(self, position):
        self.reads.append(position)
        if position in self.errors:
            raise self.errors[position]
        return torch.full((1, 2, 2), float(position)), position % 3


class Deadly(Flawed):
    """Reading an item of `errors` kills the process that reads it."""

    def __getitem__(self, position):
        if position in self.errors:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(position)
