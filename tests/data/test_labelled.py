"""Where labels come from, and what identifies images."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from tests.tiny import labelled_noise
from unweave.data.labelled import LabelledImages, labelled
from unweave.errors import DataError

LABELS = [2, 0, 1, 1, 2, 0]


class Counted(Dataset):
    """(image, label) pairs without any list of labels; counts how often it is read."""

    def __init__(self, labels, wrap=lambda label: label):
        self.values, self.wrap, self.reads = labels, wrap, []

    def __len__(self):
        return len(self.values)

    def __getitem__(self, position):
        self.reads.append(position)
        return torch.full((1, 2, 2), float(position)), self.wrap(self.values[position])


class WithTargets(Counted):
    """Knows its labels as torchvision's CIFAR does."""

    def __init__(self, targets, labels=LABELS):
        super().__init__(labels)
        self.targets = targets


class WithSamples(Counted):
    """Knows its labels as torchvision's image folders do."""

    def __init__(self, labels):
        super().__init__(labels)
        self.samples = [(f"{i}.png", label) for i, label in enumerate(labels)]


class Stream(IterableDataset):
    def __iter__(self):
        yield torch.zeros(1, 2, 2), 0


def _tensors(labels):
    return TensorDataset(torch.arange(len(labels)).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2), torch.tensor(labels))


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(LABELS, id="list"),
        pytest.param(tuple(LABELS), id="tuple"),
        pytest.param(torch.tensor(LABELS), id="tensor"),
        pytest.param(np.array(LABELS, np.uint8), id="bytes"),
        pytest.param([torch.tensor(v) for v in LABELS], id="scalars"),
        pytest.param(np.array(LABELS, float), id="whole floats"),
    ],
)
def test_labels_can_be_given_in_any_form(labels):
    data = Counted([0] * 6)
    found = labelled(data, labels)
    assert found.labels.tolist() == LABELS
    assert found.labels.dtype == np.int64
    assert data.reads == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (WithTargets(LABELS), LABELS),
        (WithTargets(torch.tensor(LABELS)), LABELS),
        (WithTargets(np.array(LABELS)), LABELS),
        (WithSamples(LABELS), LABELS),
        (_tensors(LABELS), LABELS),
        (Subset(_tensors(LABELS), [4, 0, 2]), [2, 2, 1]),
        (Subset(Subset(WithTargets(LABELS), [5, 4, 3]), [2, 0]), [1, 0]),
        (ConcatDataset([_tensors(LABELS), WithSamples([7, 8]), Subset(WithTargets(LABELS), [1])]), [*LABELS, 7, 8, 0]),
        (DataLoader(_tensors(LABELS), batch_size=4, shuffle=True), LABELS),
        (DataLoader(Subset(WithTargets(LABELS), [3])), [1]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Dataset | DataLoader) else "",
)
def test_labels_are_found_without_reading_images(data, expected, monkeypatch):
    monkeypatch.setattr(Counted, "__getitem__", None)
    assert labelled(data).labels.tolist() == expected


@pytest.mark.parametrize("wrap", [int, torch.tensor, np.int64, float], ids=["int", "tensor", "numpy", "whole float"])
def test_otherwise_every_item_is_read_once(wrap):
    data = Counted(LABELS, wrap)
    found = labelled(data)
    assert found.labels.tolist() == LABELS
    assert data.reads == list(range(6))
    assert (found.classes, found.of_class(1).tolist(), len(found)) == ([0, 1, 2], [2, 3], 6)
    assert len(data.reads) == 6


def test_only_a_subset_is_read_where_labels_are_unknown():
    data = Counted(LABELS)
    assert labelled(Subset(data, [4, 1])).labels.tolist() == [2, 0]
    assert data.reads == [4, 1]


def test_parts_without_labels_are_read():
    data = Counted(LABELS)
    assert labelled(ConcatDataset([_tensors([5]), data])).labels.tolist() == [5, *LABELS]
    assert data.reads == list(range(6))


def test_targets_of_none_are_not_labels():
    assert labelled(WithTargets(None)).labels.tolist() == LABELS


def test_labelled_images_are_passed_on():
    found = labelled(_tensors(LABELS))
    assert labelled(found) is found


def test_labels_given_for_labelled_images_replace_theirs():
    found = labelled(labelled(_tensors(LABELS)), labels=[0] * 6)
    assert found.labels.tolist() == [0] * 6
    with pytest.raises(DataError, match="found labels of shape"):
        labelled(found, labels=[0])


@pytest.mark.parametrize(
    ("data", "name"),
    [(Stream(), "Stream"), (DataLoader(Stream()), "Stream"), (iter([(torch.zeros(1, 2, 2), 0)]), "list_iterator")],
    ids=["data set", "loader", "iterator"],
)
def test_streams_are_refused_with_the_way_out(data, name):
    with pytest.raises(DataError, match=rf"{name} cannot be read by position; .* read the images you want into a Ten"):
        labelled(data)


def test_data_without_images_is_refused():
    with pytest.raises(DataError, match="the data set has no images"):
        labelled(TensorDataset(torch.zeros(0, 1, 2, 2), torch.zeros(0, dtype=torch.long)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], r"found labels of shape \(2,\) for 6 images"),
        ([[0], [1], [2], [0], [1], [2]], r"found labels of shape \(6, 1\) for 6 images"),
        (3, r"found labels of shape \(\) for 6 images"),
        ([0, 1, 2, 0, 1, 1.5], r"whole numbers from 0, found \[1.5\]"),
        ([0, 1, 2, 0, 1, -1], r"whole numbers from 0, found \[-1\]"),
        ([0, 1, 2, 0, 1, float("nan")], r"whole numbers from 0, found \[nan\]"),
        ([0, 1, 2, 0, 1, float("inf")], r"whole numbers from 0, found \[inf\]"),
        (["cat"] * 6, "whole numbers from 0, found .*cat"),
        ([None] * 6, "whole numbers from 0, found .*None"),
        ([[0], [1, 2], 0, 0, 0, 0], "found labels of no single form"),
    ],
)
def test_labels_that_are_not_one_class_an_image_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        labelled(Counted(LABELS), labels)


def test_fractional_labels_of_the_data_itself_are_refused():
    with pytest.raises(DataError, match=r"whole numbers from 0, found \[0.5\]"):
        labelled(Counted([0, 0.5]))
    with pytest.raises(DataError, match=r"whole numbers from 0, found \[0.5\]"):
        labelled(TensorDataset(torch.zeros(2, 1, 2, 2), torch.tensor([0, 0.5])))


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(torch.zeros(3)),
        Counted([0, 1], lambda label: torch.eye(2)[label]),
        Counted([0, 1], lambda label: object()),
        [{"image": torch.zeros(1, 2, 2), "label": 0}],
    ],
    ids=["no labels", "one-hot", "objects", "dicts"],
)
def test_data_that_gives_no_pairs_is_refused(data):
    with pytest.raises(DataError, match=r"give labels=|class indices must be whole numbers"):
        labelled(data)


def test_class_names_are_taken_from_the_data():
    data = _tensors([0, 1])
    data.classes = ["cat", "dog"]
    assert labelled(data).class_names == ("cat", "dog")
    assert labelled(DataLoader(Subset(data, [1]))).class_names == ("cat", "dog")
    assert labelled(ConcatDataset([data, data])).class_names == ("cat", "dog")
    assert labelled(ConcatDataset([data, _tensors([0])])).class_names is None
    assert [labelled(data).name_of(index) for index in (0, 1, 2, -1)] == ["cat", "dog", "2", "-1"]
    assert labelled(_tensors([0, 1])).name_of(1) == "1"


def test_class_names_that_are_no_texts_are_ignored():
    data = _tensors([0, 1])
    data.classes = [0, 1]
    assert labelled(data).class_names is None


def test_images_are_stacked_in_the_order_asked_for():
    images = labelled(_tensors(LABELS)).images([4, 0, 4])
    assert images[:, 0, 0, 0].tolist() == [4, 0, 4]
    assert images.shape == (3, 1, 2, 2)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_those_of_the_plan(workers):
    data = labelled(DataLoader(_tensors(LABELS), num_workers=workers))
    assert data.workers == workers
    plan = [np.array([5, 1]), np.array([0]), np.array([2, 3, 4])]
    assert [images[:, 0, 0, 0].tolist() for images in data.batches(plan)] == [[5, 1], [0], [2, 3, 4]]


def _doubled(items):
    return 2 * torch.stack([image for image, _ in items]), None


def test_collate_function_of_a_loader_is_used_and_its_sampler_is_not():
    data = labelled(DataLoader(_tensors(LABELS), sampler=[0], batch_size=1, collate_fn=_doubled))
    assert len(data) == 6
    assert data.images([1, 3])[:, 0, 0, 0].tolist() == [2, 6]
    assert [images[:, 0, 0, 0].tolist() for images in data.batches([np.array([5])])] == [[10]]


def test_images_that_are_no_tensors_are_refused():
    with pytest.raises(DataError, match="tensor"):
        labelled([("a picture", 0)]).images([0])


def test_images_of_a_class_are_drawn_by_seed_and_class():
    data = labelled(labelled_noise(300))
    drawn = data.of_class(1, limit=10, seed=4)
    assert len(drawn) == 10
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert set(data.labels[drawn]) == {1}
    assert drawn.tolist() == data.of_class(1, limit=10, seed=4).tolist()
    assert drawn.tolist() != data.of_class(1, limit=10, seed=5).tolist()
    assert (drawn - 1).tolist() != data.of_class(0, limit=10, seed=4).tolist()
    assert data.of_class(1, limit=100).tolist() == data.of_class(1).tolist() == list(range(1, 300, 3))


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


def test_fingerprint_of_no_images_is_one_too():
    assert labelled(_tensors(LABELS)).fingerprint(np.array([], dtype=np.int64))["images"] == 0


def test_labelled_images_are_frozen():
    with pytest.raises(AttributeError, match="cannot assign"):
        labelled(_tensors(LABELS)).labels = None
    assert isinstance(labelled(_tensors(LABELS)), LabelledImages)


def test_labels_are_those_that_items_have_where_a_target_transform_changes_them(tmp_path):
    from PIL import Image
    from torchvision.datasets import ImageFolder

    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "one.png")
    remapped = ImageFolder(tmp_path, target_transform=lambda folder: {0: 7, 1: 3}[folder])
    found = labelled(remapped)
    assert found.labels.tolist() == [remapped[0][1], remapped[1][1]] == [7, 3]
    assert found.class_names is None
    assert labelled(Subset(remapped, [1])).labels.tolist() == [3]


def test_images_of_several_sizes_are_refused_by_shape():
    class Uneven:
        targets = (0, 1)

        def __len__(self):
            return 2

        def __getitem__(self, position):
            return torch.zeros(3, 4 + position, 4), position

    with pytest.raises(DataError, match=r"\(3, 4, 4\) and \(3, 5, 4\).*--size"):
        labelled(Uneven()).images([0, 1])
