"""A small network and images in place of the real ones, and what was trained."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks import fine_tuning
from tests.decoupling.problems import Residual, settled
from tests.decoupling.training.trainings import images
from unweave.data.labelled import labelled


def residual():
    """Two residual blocks; in each, the first convolution is the one whose output no addition reads."""
    torch.manual_seed(0)
    return settled(Residual())


@pytest.fixture
def small(monkeypatch):
    """40 training images, eight more that are held out, and ten to test on."""
    monkeypatch.setattr(fine_tuning, "_TRAINED_FROM", 40)
    monkeypatch.setattr(fine_tuning, "_HELD_OUT", 8)
    monkeypatch.setattr(fine_tuning, "user_networks", lambda: SimpleNamespace(resnet20=residual))
    data = [labelled(images(48)), labelled(images(10, seed=2))]
    monkeypatch.setattr(fine_tuning, "data_of", lambda name: data)


@pytest.fixture
def typed(tmp_path):
    """Options of a small run, with folders of this test's own."""
    folders = ["--work", str(tmp_path / "work"), "--checkpoints", str(tmp_path)]
    return ["resnet20", "--train", "24", "--held-out", "8", "--batch", "8", "--augment", "none", *folders]


@pytest.fixture
def epochs_trained(monkeypatch):
    """Numbers of the epochs that plain networks were trained for, in order."""
    found, batches = [], fine_tuning.epoch_batches

    def listed(positions, batch, epoch, seed):
        found.append(epoch)
        return batches(positions, batch, epoch, seed)

    monkeypatch.setattr(fine_tuning, "epoch_batches", listed)
    return found
