"""Which images are in which step, and how they are read."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from tests.decoupling.training.trainings import Scratched, images
from unweave.data.labelled import labelled
from unweave.decoupling.training.images import TrainingImages, epoch_batches

CPU = torch.device("cpu")


def test_an_epoch_has_every_image_once_in_an_order_of_its_own():
    first, second = (epoch_batches(np.arange(20), 8, epoch, 0) for epoch in (0, 1))
    assert [len(batch) for batch in first] == [8, 8, 4]
    assert sorted(np.concatenate(first)) == list(range(20))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    again = epoch_batches(np.arange(20), 8, 0, 0)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(np.concatenate(first), np.concatenate(epoch_batches(np.arange(20), 8, 0, 1)))


def test_a_last_batch_of_a_single_image_is_left_out():
    assert [len(batch) for batch in epoch_batches(np.arange(9), 4, 0, 0)] == [4, 4]


def test_processes_share_each_batch_equally():
    whole = epoch_batches(np.arange(23), 6, 3, 0)
    shares = [epoch_batches(np.arange(23), 6, 3, 0, rank, 2) for rank in (0, 1)]
    assert [len(batch) for batch in whole] == [6, 6, 6, 5]
    for together, one, other in zip(whole, *shares, strict=True):
        used = len(together) - len(together) % 2
        assert len(one) == len(other) == used // 2
        assert sorted([*one, *other]) == sorted(together[:used])


class Flickering(Dataset):
    """Images with a random transform."""

    def __init__(self):
        self.targets, self.reads = [0, 1, 2, 0], 0

    def __len__(self):
        return 4

    def __getitem__(self, position):
        self.reads += 1
        return torch.rand(3, 8, 8), self.targets[position]


class Steady(Flickering):
    def __getitem__(self, position):
        self.reads += 1
        return torch.full((3, 8, 8), float(position)), self.targets[position]


@pytest.mark.parametrize(("kind", "kept"), [(Steady, True), (Flickering, False)])
def test_images_are_kept_unless_the_data_set_changes_them(kind, kept):
    data = kind()
    source = TrainingImages(labelled(data), CPU)
    plan = [np.array([2, 1]), np.array([3])]
    list(source.batches(plan))
    before = data.reads
    for (values, labels, positions), wanted in zip(source.batches(plan), plan, strict=True):
        assert labels.tolist() == [data.targets[position] for position in wanted]
        assert positions.tolist() == wanted.tolist()
        if kind is Steady:
            assert values[:, 0, 0, 0].tolist() == wanted.tolist()
    assert data.reads - before == (0 if kept else 3)


@pytest.mark.parametrize("kept", [True, False])
def test_damaged_images_are_left_out_of_their_batch(kept):
    source = TrainingImages(labelled(Scratched(5)), CPU, kept)
    expected = images().tensors[0]
    ((values, labels, positions),) = source.batches([np.array([4, 5, 6])])
    assert positions.tolist() == [4, 6]
    assert torch.equal(values, expected[[4, 6]])
    assert labels.tolist() == [1, 0]
    assert source.damaged.keys() == {5}
