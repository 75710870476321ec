"""What all surfaces share: what one is, and a small network and images of a user's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch.utils.data import Dataset

from tests.tiny import TinyPlain, labelled_noise
from unweave.data.labelled import labelled
from unweave.pipeline.inputs import Inputs
from unweave.runs.folder import RunFolder
from unweave.search.preparation import prepare

USER_FILE = """
import torch
from tests.surfaces import Images
from tests.decoupling.problems import Chain, settled
from tests.tiny import TinyPlain


def network():
    torch.manual_seed(0)
    return TinyPlain().randomised()


def chain():
    torch.manual_seed(0)
    return settled(Chain())


def images():
    return Images()
"""


@dataclass(frozen=True, eq=False)
class Surface:
    """`write` makes the intact input in a folder; `victims` are the patterns of its files that are damaged; `use` does
    with it what a user does, and so does `command` on the command line. `weight`: how many inputs are of this kind,
    against 1 of others; those that take long have less."""

    name: str
    write: Callable[[Path], None]
    victims: Sequence[str]
    damages: Mapping[str, Callable]
    use: Callable[[Path], object]
    command: Callable[[Path], list[str]] | None = None
    weight: float = 1.0


class Images(Dataset):
    """Twelve labelled images with class names; reading more than `most` of them is interrupted, as by the keyboard."""

    def __init__(self, most=None):
        self.images, labels = labelled_noise(12).tensors
        self.targets, self.classes, self.most = labels.tolist(), [f"class {i}" for i in range(3)], most

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, position):
        if self.most is not None:
            self.most -= 1
            if self.most < 0:
                raise KeyboardInterrupt
        return self.images[position], self.targets[position]


@cache
def prepared():
    torch.manual_seed(0)
    network = TinyPlain().randomised()
    return network, prepare(network, labelled(Images()), "block", None, None)


def write_inputs(folder):
    (folder / "mine.py").write_text(USER_FILE)
    file = folder / "mine.py"
    inputs = Inputs(f"{file}:network", f"{file}:images", f"{file}:images")
    RunFolder(folder / "run").write_inputs({"inputs": inputs.as_settings(), "seed": 0})
