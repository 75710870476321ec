"""Where labels come from, and what identifies images."""

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from tests.data.flawed import Flawed
from tests.tiny import labelled_noise
from unweave.data.labelled import LabelledImages, labelled
from unweave.errors import DamagedImageError, DataError, SettingError

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
    assert [batch.images[:, 0, 0, 0].tolist() for batch in data.batches(plan)] == [[5, 1], [0], [2, 3, 4]]


def _doubled(items):
    return 2 * torch.stack([image for image, _ in items]), None


def test_collate_function_of_a_loader_is_used_and_its_sampler_is_not():
    with pytest.warns(UserWarning, match="the DataLoader's list is not used: every image .* give a Subset"):
        data = labelled(DataLoader(_tensors(LABELS), sampler=[0], batch_size=1, collate_fn=_doubled))
    assert len(data) == 6
    assert data.images([1, 3])[:, 0, 0, 0].tolist() == [2, 6]
    assert [batch.images[:, 0, 0, 0].tolist() for batch in data.batches([np.array([5])])] == [[10]]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"sampler": WeightedRandomSampler([1.0] * 6, 6)}, "WeightedRandomSampler"),
        ({"sampler": DistributedSampler(_tensors(LABELS), 2, 0)}, "DistributedSampler"),
        ({"sampler": SubsetRandomSampler([0, 1])}, "SubsetRandomSampler"),
        ({"batch_sampler": BatchSampler(WeightedRandomSampler([1.0] * 6, 6), 2, False)}, "WeightedRandomSampler"),
        ({"batch_sampler": [[0, 1], [2]]}, "list"),
    ],
    ids=["weighted", "distributed", "subset", "weighted batches", "own batches"],
)
def test_a_chosen_sampler_is_said_not_to_be_used(options, name):
    with pytest.warns(UserWarning, match=f"the DataLoader's {name} is not used") as caught:
        assert len(labelled(DataLoader(_tensors(LABELS), **options))) == 6
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"batch_size": None}, {"batch_size": 4, "drop_last": True}])
def test_usual_samplers_are_not_worth_a_word(options):
    data = labelled(DataLoader(_tensors(LABELS), **options))
    assert data.images([2, 3]).shape == (2, 1, 2, 2)


def test_workers_are_the_loaders_unless_said_otherwise():
    loader = DataLoader(_tensors(LABELS), num_workers=2)
    assert [labelled(loader, workers=asked).workers for asked in (None, 0, 1)] == [2, 0, 1]
    assert labelled(_tensors(LABELS)).workers == 0
    assert labelled(labelled(loader), workers=1).workers == 1
    with pytest.raises(SettingError, match="workers must be at least 0, found -1"):
        labelled(loader, workers=-1)


def test_strict_stays_with_labelled_images():
    strict = labelled(_tensors(LABELS), strict=True)
    assert (strict.strict, labelled(strict) is strict, labelled(_tensors(LABELS)).strict) == (True, True, False)
    assert labelled(labelled(_tensors(LABELS)), strict=True).strict


def test_damaged_images_among_those_asked_for_by_position_are_refused():
    data = labelled(Flawed(6, {3: OSError("truncated")}))
    assert data.images([2, 4])[:, 0, 0, 0].tolist() == [2, 4]
    with pytest.raises(DamagedImageError, match=r"^image 3 is damaged: truncated$"):
        data.images([2, 3])
    with pytest.raises(DataError, match="no images were asked for"):
        data.images([])


@pytest.mark.parametrize(
    ("damaged", "count", "expected"),
    [
        ([], 3, [0, 5, 10]),
        ([5], 3, [0, 6, 10]),
        ([0, 1, 10], 2, [2, 9]),
        ([], 1, [0]),
        ([0], 1, [1]),
        ([], 20, list(range(11))),
        ([2, 3], 20, [0, 1, 4, 5, 6, 7, 8, 9, 10]),
        (range(10), 3, [10]),
        ([], 0, []),
    ],
)
def test_intact_images_are_spread_evenly_and_neighbours_stand_in(damaged, count, expected):
    data = labelled(Flawed(11, dict.fromkeys(damaged, OSError("truncated"))))
    found = data.intact(count)
    assert (found.tolist(), found.dtype) == (expected, np.int64)


def test_no_intact_image_at_all_is_refused_with_the_first_reason():
    with pytest.raises(DataError, match=r"^no image of 5 can be read; the first: truncated 0$"):
        labelled(Flawed(5, {k: OSError(f"truncated {k}") for k in range(5)})).intact(2)
    many = Flawed(1000, dict.fromkeys(range(1000), OSError("truncated")))
    with pytest.raises(DataError, match=r"no image of 1000 can be read \(200 were tried\)"):
        labelled(many).intact(8)
    assert len(many.reads) == 200


def test_strict_refuses_while_it_looks_for_intact_images():
    with pytest.raises(DataError, match="image 0 is damaged: truncated; mend"):
        labelled(Flawed(5, {0: OSError("truncated")}), strict=True).intact(1)


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
