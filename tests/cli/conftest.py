"""A user's own file, and a way to run commands as a user does."""

import shutil
import sys
from dataclasses import dataclass

import pytest

from unweave.cli import main

USER_FILE = """
import torch
from torch import nn
from torch.utils.data import IterableDataset, TensorDataset
from unweave.zoo.digits import DigitsNetwork


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )


def not_a_network():
    return 3


class Dictionary(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, images):
        return {"scores": self.inner(images), "images": images}


def infinite():
    made = network()
    with torch.no_grad():
        made[0].bias[2] = float("inf")
    return made


def scripted():
    return torch.jit.trace(network(), torch.zeros(2, 1, 8, 8))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(images())


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, images):
        return self.inner(images) if images.sum() > 0 else -self.inner(images)


def images():
    return TensorDataset(torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 10)
"""


@dataclass
class Ran:
    status: int
    out: str
    err: str


@pytest.fixture
def user_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(USER_FILE)
    return file


def finished(place, *arguments, out=None):
    """A place with the user's file and `run`, the folder of the command that is given (or `out`); `{file}` stands for
    the file."""
    file = place / "mine.py"
    file.write_text(USER_FILE)
    typed = [str(argument).format(file=file) for argument in arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["unweave", *typed, "--out", str(out or place / "run")])
        with pytest.raises(SystemExit) as stopped:
            main.run()
    assert not stopped.value.code, f"{typed} ended with status {stopped.value.code}"
    return place


def copied(place, to):
    """The run folder of another place, in `to`, as if its command had been given there."""
    run = shutil.copytree(place / "run", to / "run")
    inputs = run / "inputs.json"
    inputs.write_text(inputs.read_text().replace(str(place), str(to)))
    return run


@pytest.fixture
def unweave(monkeypatch, capsys):
    """Run `unweave ARGUMENTS` in this process, through the entry point that users have."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["unweave", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main.run()
        printed = capsys.readouterr()
        return Ran(int(stopped.value.code or 0), printed.out, printed.err)

    return run
