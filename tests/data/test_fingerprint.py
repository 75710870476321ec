"""What identifies images: their positions, labels and pixels."""

import numpy as np
from torch.utils.data import TensorDataset

from tests.data.flawed import Flawed
from tests.data.test_labelled import LABELS, Counted, _tensors
from unweave.data.labelled import labelled


def _digest(data, positions):
    return data.fingerprint(np.array(positions))["digest"]


def test_fingerprint_counts_images_and_classes():
    found = labelled(_tensors(LABELS)).fingerprint(np.array([0, 4, 1]))
    assert (found["images"], found["classes"]) == (3, 2)
    assert labelled(_tensors(LABELS)).fingerprint(np.array([0, 4, 1])) == found


def test_fingerprint_changes_with_pixels_labels_and_positions():
    images, labels = _tensors(LABELS).tensors
    data = labelled(_tensors(LABELS))
    base = _digest(data, [0, 1, 2])
    changed = images.clone()
    changed[1, 0, 1, 1] += 1e-6
    assert _digest(labelled(TensorDataset(changed, labels)), [0, 1, 2]) != base
    assert _digest(labelled(_tensors([2, 0, 0, 1, 2, 0])), [0, 1, 2]) != base
    assert _digest(data, [0, 1]) != base
    assert _digest(data, [0, 1, 3]) != base
    assert _digest(data, [0, 2, 1]) != base


def test_fingerprint_ignores_images_elsewhere():
    images, labels = _tensors(LABELS).tensors
    changed = images.clone()
    changed[5] = 100
    assert _digest(labelled(TensorDataset(changed, labels)), [0, 1]) == _digest(labelled(_tensors(LABELS)), [0, 1])


def test_fingerprint_reads_at_most_64_images_and_all_labels():
    data = Counted([0] * 1000)
    images = labelled(data, [0] * 1000)
    digest = _digest(images, range(1000))
    assert len(data.reads) == 64
    assert {data.reads[0], data.reads[-1]} == {0, 999}
    (unread, *_) = set(range(1000)) - set(data.reads)
    assert _digest(labelled(data, [int(i == unread) for i in range(1000)]), range(1000)) != digest


def test_fingerprint_tells_a_damaged_image_from_an_intact_one():
    errors = {2: OSError("truncated")}
    flawed, whole = labelled(Flawed(6, errors)), labelled(Flawed(6, {}))
    assert _digest(flawed, range(6)) == _digest(labelled(Flawed(6, errors)), range(6)) != _digest(whole, range(6))
    assert _digest(flawed, [0, 1]) == _digest(whole, [0, 1])


def test_fingerprint_does_not_count_unknown_labels_as_a_class():
    data = labelled(Flawed(6, {2: OSError("truncated")}, known=False))
    assert data.fingerprint(np.array([0, 2, 3]))["classes"] == 1


def test_fingerprint_of_no_images_is_one_too():
    assert labelled(_tensors(LABELS)).fingerprint(np.array([], dtype=np.int64))["images"] == 0
