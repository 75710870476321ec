"""Batches without damaged images, from here and from worker processes."""

import errno
import random

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError
from torch.utils.data import Dataset, TensorDataset

from tests.data.flawed import Deadly, Flawed
from unweave.data.batches import BatchReader, Damaged, Failure, ImageBatch, read_all, read_item
from unweave.data.labelled import labelled
from unweave.errors import DamagedImageError, DataError, SettingError

DAMAGE = [
    OSError("image file is truncated"),
    UnidentifiedImageError("cannot identify"),
    DamagedImageError("x.jpg cannot be read"),
    SyntaxError("broken PNG"),
    EOFError("no more images"),
    Image.DecompressionBombError("bomb"),
]
PLAN = [np.array([5, 1]), np.array([3]), np.array([2, 3, 4, 0])]


def _read(data, plan=PLAN):
    return list(data.batches(plan))


@pytest.mark.parametrize("error", DAMAGE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_images_are_left_out_and_counted(error, workers):
    found = _read(labelled(Flawed(6, {1: error, 3: error}), workers=workers))
    assert [batch.positions.tolist() for batch in found] == [[5], [], [2, 4, 0]]
    assert [None if b.images is None else b.images[:, 0, 0, 0].tolist() for b in found] == [[5], None, [2, 4, 0]]
    reasons = [[(d.position, d.reason) for d in batch.damaged] for batch in found]
    assert reasons == [[(1, str(error))], [(3, str(error))], [(3, str(error))]]
    assert all(batch.positions.dtype == np.int64 for batch in found)


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_give_the_same_bytes_in_the_same_order(workers):
    data = TensorDataset(torch.randn(40, 3, 5, 5), torch.arange(40) % 4)
    plan = [np.random.default_rng(k).permutation(40)[: 1 + k] for k in range(20)]
    ours, theirs = _read(labelled(data), plan), _read(labelled(data, workers=workers), plan)
    assert all(torch.equal(a.images, b.images) for a, b in zip(ours, theirs, strict=True))
    assert [a.positions.tolist() for a in ours] == [b.positions.tolist() for b in theirs] == [p.tolist() for p in plan]


def test_reading_does_not_use_the_users_random_state():
    state = torch.get_rng_state()
    _read(labelled(Flawed(6, {}), workers=1))
    assert torch.equal(state, torch.get_rng_state())


class Drawn(Dataset):
    """Images with random transforms that draw from torch, numpy and Python."""

    targets = (0, 1)

    def __len__(self):
        return 2

    def __getitem__(self, position):
        return torch.tensor([torch.rand(()), np.random.rand(), random.random()]), position


def test_random_transforms_in_worker_processes_belong_to_the_seed():
    data, plan = labelled(Drawn(), workers=1), [np.array([0, 1])]
    first, again, other = (next(data.batches(plan, seed)).images for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert bool((first != other).all())


@pytest.mark.parametrize("workers", [0, 1])
def test_other_errors_are_refused_on_one_line_that_names_the_item(workers):
    data = labelled(Flawed(6, {2: TypeError("two\nlines")}), workers=workers)
    with pytest.raises(DataError, match=r"^item 2 of Flawed fails: TypeError: two lines$") as caught:
        _read(data)
    assert isinstance(caught.value.__cause__, TypeError) == (workers == 0)


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_unweave_keep_their_words(workers):
    data = labelled(Flawed(6, {2: SettingError("size must be at least 1 pixel")}), workers=workers)
    with pytest.raises(DataError, match=r"^size must be at least 1 pixel$"):
        _read(data)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_shortage_of_the_machine_is_no_damage(number):
    with pytest.raises(DataError, match="item 1 of Flawed fails: OSError: none left"):
        _read(labelled(Flawed(6, {1: OSError(number, "none left")})))


def test_a_worker_that_is_killed_is_said_on_one_line():
    data = labelled(Deadly(6, {3: None}), workers=1)
    with pytest.raises(DataError, match=r"a worker process that reads images died \(.*\); use fewer workers") as caught:
        _read(data)
    assert "\n" not in str(caught.value)


def test_workers_that_cannot_start_are_said_on_one_line(monkeypatch):
    def fails(loader):
        raise AttributeError("Can't pickle local object")

    monkeypatch.setattr(torch.utils.data.DataLoader, "__iter__", fails)
    with pytest.raises(DataError, match=r"worker processes cannot be started \(AttributeError: Can't pickle local obj"):
        _read(labelled(Flawed(6, {}), workers=1))


@pytest.mark.parametrize("workers", [0, 1])
def test_strict_refuses_a_damaged_image_by_name(workers):
    data = labelled(Flawed(6, {3: OSError("truncated")}), strict=True, workers=workers)
    found = data.batches(PLAN)
    assert next(found).positions.tolist() == [5, 1]
    with pytest.raises(DataError, match=r"^image 3 is damaged: truncated; mend or remove it, or leave out strict"):
        next(found)


def _one_too_many(items):
    return torch.zeros(len(items) + 1, 1), None


def _fails(items):
    raise KeyError("label")


@pytest.mark.parametrize(
    ("collate", "message"),
    [
        (_one_too_many, "makes 3 images of 2 items, not one each"),
        (_fails, r"^a batch of Flawed \(items \[5, 1\] ...\) cannot be collated: KeyError: 'label'$"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_collate_functions_that_fail_are_refused(collate, message, workers):
    loader = torch.utils.data.DataLoader(Flawed(6, {}), batch_size=2, collate_fn=collate, num_workers=workers)
    with pytest.raises(DataError, match=message):
        _read(labelled(loader))


class _Uneven(Flawed):
    def __getitem__(self, position):
        return torch.zeros(3, 4 + position, 4), 0


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_several_sizes_are_refused_also_out_of_a_worker(workers):
    with pytest.raises(DataError, match=r"^images of several sizes .*\(3, 5, 4\) and \(3, 9, 4\).*--size"):
        _read(labelled(_Uneven(6, {}), workers=workers))


def test_an_empty_plan_gives_no_batches():
    assert _read(labelled(Flawed(3, {})), []) == []
    assert _read(labelled(Flawed(3, {}), workers=1), []) == []


def test_readers_read_what_is_asked_for():
    data = Flawed(4, {1: OSError("truncated"), 2: KeyError("a")})
    batch = BatchReader(data)[[3, 1, 0]]
    assert isinstance(batch, ImageBatch)
    assert (batch.positions.tolist(), batch.damaged) == ([3, 0], (Damaged(1, "truncated"),))
    assert isinstance(BatchReader(data)[[0, 2, 3]], Failure)
    assert data.reads == [3, 1, 0, 0, 2]
    assert (len(BatchReader(data)), read_item(data, 1)) == (4, Damaged(1, "truncated"))


def test_batches_are_read_only_when_they_are_asked_for():
    data = Flawed(6, {})
    next(read_all(BatchReader(data), PLAN, 0))
    assert data.reads == [5, 1]
