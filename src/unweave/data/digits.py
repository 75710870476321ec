"""scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels that need no download."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Digits(Dataset[tuple[Tensor, int]]):
    """Images `[1, 8, 8]` with values from 0 to 1; three quarters for training, the rest (every fourth) held out."""

    def __init__(self, train: bool) -> None:
        from sklearn.datasets import load_digits

        found = load_digits()
        held_out = np.arange(len(found.target)) % 4 == 3
        chosen = ~held_out if train else held_out
        self.images = torch.from_numpy(found.images[chosen]).float().div(16)[:, None]
        self.targets = torch.from_numpy(found.target[chosen]).long()
        self.classes = list(DIGIT_NAMES)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.images[position], int(self.targets[position])
