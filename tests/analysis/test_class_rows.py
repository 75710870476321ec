"""Which images and predictions count as a row's."""

import numpy as np
import pytest

from tests.analysis.by_hand import ReadOut, Torn, grouped, keeping, pictures
from unweave.analysis.class_rows import ClassRow, Wording, class_rows
from unweave.data.labelled import labelled
from unweave.errors import PathsError
from unweave.paths import Paths, Rows
from unweave.randomness import generator

IMAGES = labelled(pictures([0, 1, 2, 3, 0, 1]))
SCORES = np.array([[3.0, 1, 2, 0], [1, 3, 0, 2], [0, 1, 1, 0]])


def test_rows_are_their_classes_and_opponents():
    network = ReadOut()
    assert class_rows(keeping(network, [[0], [1]], [1, 3]), "it") == [ClassRow((1,)), ClassRow((3,))]
    paths = grouped(network, [[0], [1]], [(2,), (0, 3)], [(), (1,)])
    assert class_rows(paths, "it") == [ClassRow((2,), ()), ClassRow((0, 3), (1,))]


def test_rows_of_inputs_are_refused():
    paths = keeping(ReadOut(), [[0], [1]])
    inputs = Paths(paths.masks, Rows.of_inputs(2), paths.sites, {})
    with pytest.raises(PathsError, match="it is about classes; these paths' rows are inputs"):
        class_rows(inputs, "it")


@pytest.mark.parametrize(
    ("row", "own", "others"),
    [
        (ClassRow((1,)), [1, 5], [0, 2, 3, 4]),
        (ClassRow((0, 1)), [0, 1, 4, 5], [2, 3]),
        (ClassRow((1,), (3, 0)), [1, 5], [0, 3, 4]),
        (ClassRow((0, 1), (2,)), [0, 1, 4, 5], [2]),
        (ClassRow((7,)), [], [0, 1, 2, 3, 4, 5]),
    ],
)
def test_images_are_those_of_the_members_and_of_the_opponents(row, own, others):
    assert row.own(IMAGES).tolist() == own
    assert row.others(IMAGES).tolist() == others


def test_images_of_unknown_class_are_nobody_s():
    images = labelled(Torn(pictures([0, 0, 1, 1]), {1, 3}, known=False))
    assert ClassRow((0,)).own(images).tolist() == [0]
    assert ClassRow((0,)).others(images).tolist() == [2]


@pytest.mark.parametrize(
    ("row", "called"),
    [
        (ClassRow((0,)), [True, False, False]),
        (ClassRow((0, 1)), [True, True, True]),
        (ClassRow((2,), (1,)), [True, False, False]),
        (ClassRow((2, 3), (1,)), [True, False, False]),
        (ClassRow((3,), (0,)), [False, True, False]),
    ],
)
def test_the_highest_score_that_takes_part_is_called_and_of_equal_ones_the_first(row, called):
    assert row.called(SCORES).tolist() == called


def test_other_images_are_drawn_by_seed_and_classes():
    images = labelled(pictures([0] * 50 + [1] * 50 + [2] * 50))
    first = ClassRow((1,)).others(images, 10, 0)
    everything = np.array([*range(50), *range(100, 150)])
    # As a single class's were drawn before there were groups.
    assert first.tolist() == sorted(generator("others", 0, 1).permutation(everything)[:10].tolist())
    assert first.tolist() == ClassRow((1,)).others(images, 10, 0).tolist()
    assert first.tolist() != ClassRow((1,)).others(images, 10, 1).tolist()
    assert ClassRow((1,)).others(images, 100, 0).tolist() == everything.tolist()
    group = ClassRow((1, 3)).others(images, 10, 0)
    assert len(group) == 10
    assert group.tolist() != first.tolist()


def test_tables_speak_of_classes_unless_some_rows_are_groups():
    assert Wording.of([ClassRow((0,))]) == Wording("class", "this class", "other classes", "")
    assert Wording.of([ClassRow((0,)), ClassRow((1, 2))]).row == "row"
    assert Wording.of([ClassRow((0,), (1,))]).others == "its opponents"
