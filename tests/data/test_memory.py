"""Images that are kept are the same images, damaged ones stay damaged, and memory is bounded."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.data.flawed import Flawed
from unweave.data.labelled import labelled
from unweave.errors import DamagedImageError, DataError

PLAN = [np.array([5, 1]), np.array([3]), np.array([2, 3, 4, 0, 0])]
BYTES = 16
"""Of one image of `Flawed`: four float32."""


def plain(batches):
    return [
        (
            None if batch.images is None else batch.images.tolist(),
            batch.positions.tolist(),
            [(one.position, one.reason) for one in batch.damaged],
        )
        for batch in batches
    ]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("room", [0, 2 * BYTES, 100 * BYTES])
def test_what_is_remembered_is_what_is_read(workers, room):
    data = labelled(Flawed(6, {1: OSError("truncated"), 3: OSError("broken")}), workers=workers)
    expected, remembering = plain(data.batches(PLAN)), data.remembering(room)
    assert [plain(remembering.batches(PLAN)) for _ in range(2)] == [expected, expected]
    assert plain([next(remembering.batches([np.array([1, 5])]))]) == plain(data.batches([np.array([1, 5])]))
    assert remembering.memory.bytes == min(room, 4 * BYTES)


def test_images_and_damaged_ones_are_read_once():
    data = Flawed(6, {1: OSError("truncated")})
    remembering = labelled(data).remembering(100 * BYTES)
    everything = [np.arange(6)]
    for _ in range(3):
        list(remembering.batches(everything))
        assert remembering.images([4, 0])[:, 0, 0, 0].tolist() == [4, 0]
        with pytest.raises(DamagedImageError, match="image 1 is damaged: truncated"):
            remembering.images([1])
        assert remembering.intact(1).tolist() == [0]
    assert sorted(data.reads) == list(range(6))


def test_what_has_no_room_is_read_again():
    data = Flawed(6, {})
    remembering = labelled(data).remembering(4 * BYTES)
    for _ in range(2):
        list(remembering.batches([np.arange(3), np.arange(3, 6)]))
    assert data.reads == [0, 1, 2, 3, 4, 5, 4, 5]


def test_a_batch_that_is_changed_leaves_what_is_remembered():
    remembering = labelled(Flawed(6, {})).remembering(100 * BYTES)
    for _ in range(2):
        batch = remembering.images([2, 3])
        assert batch[:, 0, 0, 0].tolist() == [2, 3]
        batch.zero_()


class OfTwoSizes(Flawed):
    def __getitem__(self, position):
        super().__getitem__(position)
        return torch.zeros(1, 2 + position % 2, 2), 0


def test_images_of_several_sizes_are_refused_as_ever():
    remembering = labelled(OfTwoSizes(4, {})).remembering(1000)
    assert [len(remembering.images([p])) for p in (0, 1)] == [1, 1]
    with pytest.raises(DataError, match="images of several sizes cannot share a batch"):
        remembering.images([0, 1])


def test_items_that_fail_are_refused_as_ever():
    remembering = labelled(Flawed(4, {2: KeyError("label")})).remembering(1000)
    with pytest.raises(DataError, match="item 2 of Flawed fails: KeyError"):
        list(remembering.batches([np.array([0]), np.array([1, 2])]))


def _doubled(items):
    return 2 * torch.stack([image for image, _ in items]), None


def test_only_what_takes_reading_is_remembered():
    tensors = TensorDataset(torch.zeros(3, 1, 2, 2), torch.arange(3))
    usual, own = DataLoader(Flawed(3, {})), DataLoader(Flawed(3, {}), collate_fn=_doubled)
    remembers = [labelled(data).remembering(1000).memory is not None for data in (tensors, usual, own)]
    assert remembers == [False, True, False]
    once = labelled(usual).remembering(1000)
    assert once.remembering(1000) is once
