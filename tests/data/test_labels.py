"""Labels that only the items know: read once, with damaged images left out."""

import gc

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

from tests.data.flawed import Flawed
from unweave.data import labels as module
from unweave.data.batches import Damaged
from unweave.data.labelled import labelled
from unweave.data.labels import UNKNOWN, as_labels, labels_of
from unweave.errors import DataError


class Unhashable(Flawed):
    __hash__ = None

    def __eq__(self, other):
        return True


@pytest.mark.parametrize("kind", [Flawed, Unhashable])
def test_items_are_read_once_for_each_data_set(kind):
    data, other = kind(5, {}, known=False), kind(4, {}, known=False)
    first = labelled(data)
    assert labelled(data).labels.tolist() == first.labels.tolist() == [0, 1, 2, 0, 1]
    assert labelled(DataLoader(data)).labels.tolist() == first.labels.tolist()
    assert data.reads == list(range(5))
    assert labelled(other).labels.tolist() == [0, 1, 2, 0]


def test_what_was_read_is_forgotten_with_its_data_set():
    data = Flawed(5, {}, known=False)
    labelled(data)
    key = id(data)
    assert key in module._passes
    del data
    gc.collect()
    assert key not in module._passes


def test_a_data_set_that_has_grown_is_read_again():
    data = Flawed(5, {}, known=False)
    labelled(data)
    data.count = 6
    assert labelled(data).labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_lists_are_read_each_time():
    data = [(torch.zeros(1), 1), (torch.zeros(1), 0)]
    assert labelled(data).labels.tolist() == [1, 0]
    data[0] = (torch.zeros(1), 2)
    assert labelled(data).labels.tolist() == [2, 0]


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_images_have_no_class(workers):
    found = labelled(Flawed(150, {70: OSError("truncated"), 149: SyntaxError("broken")}, known=False), workers=workers)
    assert found.labels[[69, 70, 71, 149]].tolist() == [0, UNKNOWN, 2, UNKNOWN]
    assert found.damaged == (Damaged(70, "truncated"), Damaged(149, "broken"))
    assert found.classes == [0, 1, 2]
    assert 70 not in found.of_class(70 % 3)
    assert found.of_class(UNKNOWN).tolist() == []


def test_damaged_images_in_the_pass_are_refused_if_strict():
    data = Flawed(5, {2: OSError("truncated")}, known=False)
    with pytest.raises(DataError, match="image 2 is damaged: truncated; mend or remove it"):
        labelled(data, strict=True)
    with pytest.raises(DataError, match="image 2 is damaged"):
        labelled(labelled(data), strict=True)


def test_given_labels_take_the_place_of_unknown_ones():
    data = labelled(Flawed(3, {2: OSError("truncated")}, known=False))
    assert labelled(data, [0, 1, 1]).damaged == ()
    with pytest.raises(DataError, match=r"whole numbers from 0, found \[-1\]"):
        labelled(data, [0, 1, -1])


def test_unlabelled_images_of_a_data_set_that_knows_them_stay_refused():
    data = Flawed(3, {})
    data.targets = [0, -1, 1]
    with pytest.raises(DataError, match=r"whole numbers from 0, found \[-1\]"):
        labelled(data)


def test_a_data_set_of_which_nothing_can_be_read_is_refused():
    with pytest.raises(DataError, match=r"^no image of 3 can be read; the first: truncated$"):
        labels_of(Flawed(3, dict.fromkeys(range(3), OSError("truncated")), known=False))


@pytest.mark.parametrize("workers", [0, 1])
def test_items_that_fail_otherwise_are_named(workers):
    with pytest.raises(DataError, match=r"^item 1 of Flawed fails: ZeroDivisionError: by zero$"):
        labels_of(Flawed(3, {1: ZeroDivisionError("by zero")}, known=False), workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_items_that_are_no_pairs_are_said_to_be(workers):
    with pytest.raises(DataError, match=r"^TensorDataset does not give \(image, class index\) pairs .*give labels=$"):
        labels_of(TensorDataset(torch.zeros(3)), workers)


def test_the_pass_is_counted(monkeypatch):
    steps = []

    class Counter:
        def __init__(self, title, total):
            steps.append((title, total))

        def __enter__(self):
            return steps.append

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(module, "progress", Counter)
    labels_of(Flawed(100, {}, known=False))
    assert steps == [("reading labels", 100), 50, 50]


def test_parts_of_a_data_set_are_read_by_themselves():
    data = Flawed(6, {1: OSError("truncated")}, known=False)
    assert labelled(Subset(data, [4, 1])).labels.tolist() == [1, UNKNOWN]
    joined = labelled(ConcatDataset([Subset(data, [0]), data]))
    assert joined.labels.tolist() == [0, 0, UNKNOWN, 2, 0, 1, 2]
    assert joined.damaged == (Damaged(2, "truncated"),)


def test_labels_become_whole_numbers():
    assert as_labels(np.array([1.0, 2.0]), 2).dtype == np.int64
