"""What the rows of a `Paths` are."""

import dataclasses

import numpy as np
import pytest

from unweave.errors import PathsError
from unweave.paths import Rows


def test_class_rows_are_named_by_index_without_names():
    rows = Rows.of_classes([1, 4])
    assert rows == Rows("class", ("1", "4"), (1, 4), ("", ""), (-1, -1), (-1, -1))
    assert len(rows) == 2


def test_input_rows_have_sources_labels_and_predictions():
    rows = Rows.of_inputs(2, names=["a", "b"], sources=["a.png", "b.png"], labels=np.array([1, 2]), predictions=[2, 2])
    assert rows == Rows("input", ("a", "b"), (-1, -1), ("a.png", "b.png"), (1, 2), (2, 2))
    assert Rows.of_inputs(3) == Rows("input", ("0", "1", "2"), (-1,) * 3, ("",) * 3, (-1,) * 3, (-1,) * 3)


def test_rows_hold_plain_integers():
    rows = Rows.of_classes(np.array([1, 4]))
    assert [type(index) for index in rows.classes] == [int, int]


def test_take_picks_every_field():
    rows = Rows.of_inputs(3, names=["a", "b", "c"], sources=["x", "y", "z"], labels=[5, 6, 7], predictions=[7, 6, 5])
    assert rows.take(np.array([2, 0])) == Rows("input", ("c", "a"), (-1, -1), ("z", "x"), (7, 5), (5, 7))
    assert len(rows.take([])) == 0


def test_rows_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError, match="names"):
        Rows.of_classes([0]).names = ("other",)


@pytest.mark.parametrize("classes", [[3, 1], [1, 1], [0, 2, 2]])
def test_classes_ascend_and_appear_once(classes):
    with pytest.raises(PathsError, match="class rows must ascend by class index, each class once"):
        Rows.of_classes(classes)


def test_fields_of_different_length_are_refused():
    with pytest.raises(PathsError, match=r"differ in length: {'names': 1, 'classes': 2"):
        Rows.of_classes([0, 1], ["only one"])
    with pytest.raises(PathsError, match="'labels': 3"):
        Rows.of_inputs(2, labels=[1, 2, 3])


def test_unknown_kind_is_refused():
    with pytest.raises(PathsError, match="kind 'class', 'input' or 'combined', found 'image'"):
        Rows("image", (), (), (), (), ())
