"""Own-class accuracy, on a network whose answers are obvious."""

import math

import pytest
import torch
from torch.utils.data import DataLoader

from tests.analysis.by_hand import ReadOut, Torn, grouped, keeping, pictures
from unweave.analysis.accuracy import accuracy, accuracy_histogram
from unweave.data.labelled import labelled
from unweave.errors import DataError, MismatchError, PathsError
from unweave.paths import Paths
from unweave.tables import Table

EVERY = pictures([0, 1, 2, 3] * 3)


def test_keeping_the_class_channel_keeps_the_class():
    network = ReadOut()
    table = accuracy(network, keeping(network, [[0], [1], [2], [3]]), EVERY)
    assert table["sub_architecture"] == (1.0, 1.0, 1.0, 1.0)
    assert table["original"] == (1.0, 1.0, 1.0, 1.0)
    assert table["images"] == (3, 3, 3, 3)


def test_masking_the_class_channel_kills_the_class():
    network = ReadOut()
    table = accuracy(network, keeping(network, [[1, 2, 3], [1], [0, 1, 3], []]), EVERY)
    # The default class needs no channel: nothing seen is called by it.
    assert table["sub_architecture"] == (0.0, 1.0, 0.0, 1.0)
    assert dict(table.summary) == {"original": 1.0, "sub_architecture": 0.5}


def test_accuracy_counts_images_by_their_label():
    network = ReadOut()
    data = pictures([0] * 7 + [1, 1, 3] + [1, 2], [0] * 10 + [1, 1])
    table = accuracy(network, keeping(network, [[0], [0, 1]]), data)
    assert table["original"] == (0.7, 0.5)
    assert table["sub_architecture"] == (0.7, 0.5)
    assert table["images"] == (10, 2)


def test_rows_are_judged_by_their_class_not_their_position():
    network = ReadOut()
    table = accuracy(network, keeping(network, [[1], [0, 1, 2]], [1, 3], ["bird", "default"]), EVERY)
    assert (table["class"], table["name"]) == ((1, 3), ("bird", "default"))
    assert table["sub_architecture"] == (1.0, 1.0)
    assert accuracy(network, keeping(network, [[0]], [1]), EVERY)["sub_architecture"] == (0.0,)


def test_a_group_is_right_where_any_of_its_classes_is_called():
    network = ReadOut()
    # Shown 0, 1, 1 as class 0 and 2, 0 as class 1: all but the image of class 2 are called 0 or 1.
    data = pictures([0, 1, 1, 2, 0, 3], [0, 0, 0, 1, 1, 3])
    table = accuracy(network, grouped(network, [[0], [0, 1, 2]], [(0, 1), (1, 3)], names=["low", "odd"]), data)
    assert (table["class"], table["name"], table["images"]) == ((-1, -1), ("low", "odd"), (5, 3))
    assert table["original"] == (4 / 5, 1 / 3)
    # Through channel 0 alone only the two pictures of class 0 are called by the group.
    assert table["sub_architecture"] == (2 / 5, 1 / 3)
    assert table.title == "Accuracy on each row's own images, 6 images"
    assert table.meanings["original"] == "share of them that the whole network calls by a class of the row"


def test_a_damaged_image_of_two_groups_is_one_damaged_image():
    network = ReadOut()
    data = Torn(pictures([0, 1, 2, 1]), {1})
    table = accuracy(network, grouped(network, [[0, 1], [1, 2]], [(0, 1), (1, 2)]), data)
    assert table["images"] == (2, 2)
    assert table.title == "Accuracy on each row's own images, 3 images; 1 damaged image left out"


def test_classes_and_groups_can_be_rows_of_one_table():
    network = ReadOut()
    table = accuracy(network, grouped(network, [[0], [], [2]], [(0,), (3,), (1, 2)]), EVERY)
    assert (table["class"], table["images"]) == ((0, 3, -1), (3, 3, 6))
    assert table["sub_architecture"] == (1.0, 1.0, 0.5)


def test_with_opponents_the_prediction_is_among_them_and_the_row_s_classes():
    network = ReadOut()
    # With nothing kept, class 3 leads all scores; without it taking part, the first of equal scores wins.
    alone, opposed = keeping(network, [[]], [0]), grouped(network, [[]], [(0,)], [(1, 2)])
    assert accuracy(network, alone, EVERY)["sub_architecture"] == (0.0,)
    assert accuracy(network, opposed, EVERY)["sub_architecture"] == (1.0,)
    # An image of class 0 that looks like class 2: wrong among 0 and 2, right among 0 and 1.
    data = pictures([0, 2], [0, 0])
    assert accuracy(network, grouped(network, [range(4)], [(0,)], [(2,)]), data)["original"] == (0.5,)
    table = accuracy(network, grouped(network, [range(4)], [(0,)], [(1,)]), data)
    assert table["original"] == table["sub_architecture"] == (1.0,)
    assert table.title.endswith("2 images; predictions of a row with opponents are among its classes and theirs")


def test_batches_do_not_change_the_count():
    network = ReadOut()
    data = pictures([0] * 130 + [1] * 70, [0] * 200)
    table = accuracy(network, keeping(network, [[0, 1]]), data)
    assert (table["images"], table["original"], table["sub_architecture"]) == ((200,), (0.65,), (0.65,))


def test_class_without_images_has_nan_and_is_left_out_of_the_means():
    network = ReadOut()
    table = accuracy(network, keeping(network, [[0], [], [2]]), pictures([0, 1, 1]))
    assert table["images"] == (1, 2, 0)
    assert table["sub_architecture"][:2] == (1.0, 0.0)
    assert math.isnan(table["sub_architecture"][2])
    assert math.isnan(table["original"][2])
    assert dict(table.summary) == {"original": 1.0, "sub_architecture": 0.5}
    assert table.title == "Accuracy on each class's own images, 3 images; 1 of 3 without images left out (2)"


def test_only_images_that_can_be_read_are_counted():
    network = ReadOut()
    # Of class 0 the wrong one and a right one are torn, of class 1 all.
    data = Torn(pictures([0, 0, 0, 3, 1, 1, 2], [0, 0, 0, 0, 1, 1, 2]), {1, 3, 4, 5})
    table = accuracy(network, keeping(network, [[0], [1], []]), data)
    assert table["images"] == (2, 0, 1)
    assert table["original"][::2] == (1.0, 1.0)
    assert table["sub_architecture"][::2] == (1.0, 0.0)
    assert math.isnan(table["original"][1])
    assert table.title == (
        "Accuracy on each class's own images, 3 images; 4 damaged images left out; 1 of 3 without images left out (1)"
    )


def test_data_of_which_nothing_can_be_read_are_refused():
    network = ReadOut()
    with pytest.raises(DataError, match="none of the 2 images asked for can be read: all are damaged"):
        accuracy(network, keeping(network, [[0]]), Torn(pictures([0, 0]), {0, 1}))


def test_paths_without_any_images_are_refused():
    network = ReadOut()
    with pytest.raises(DataError, match="none of the paths' classes has images in this data"):
        accuracy(network, keeping(network, [[0], [1]]), pictures([2, 3]))


def test_input_rows_are_refused():
    network = ReadOut()
    mask = {"relu:0": torch.ones(2, 4, dtype=torch.bool)}
    with pytest.raises(PathsError, match="accuracy is about classes; these paths' rows are inputs"):
        accuracy(network, Paths.from_masks(mask, network, torch.zeros(2, 4, 2, 2)), EVERY)


def test_another_network_is_refused():
    network, other = ReadOut(), ReadOut()
    with torch.no_grad():
        other.classifier.bias[0] = 1
    with pytest.raises(MismatchError, match=r"first difference at 'classifier.bias'"):
        accuracy(other, keeping(network, [[0]]), EVERY)


def test_labels_can_be_given():
    network = ReadOut()
    for data in (EVERY, DataLoader(EVERY, batch_size=5, shuffle=True), labelled(EVERY)):
        table = accuracy(network, keeping(network, [[0], [1]]), data, labels=[0, 1, 1, 1] * 3)
        assert (table["images"], table["original"]) == ((3, 9), (1.0, 1 / 3))


def test_progress_is_shown_on_standard_error_when_asked_for(capsys):
    network = ReadOut()
    accuracy(network, keeping(network, [[0]]), EVERY, show_progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "accuracy" in err


def _histogram(original, own):
    columns = {"original": tuple(original), "sub_architecture": tuple(own)}
    return accuracy_histogram(Table("on 10 images", columns, {}, {"original": 0.5}))


def test_histogram_has_ten_bins_closed_above():
    table = _histogram([0.5], [0.5])
    assert table["accuracy_percent"][:2] == ("[0, 10]", "(10, 20]")
    assert table["accuracy_percent"][-1] == "(90, 100]"
    assert len(table) == 10
    assert table.title == "Classes by accuracy. on 10 images"


@pytest.mark.parametrize(
    ("share", "position"),
    [(0.0, 0), (0.05, 0), (0.1, 0), (0.101, 1), (0.2, 1), (0.3, 2), (0.6, 5), (0.7, 6), (0.71, 7), (0.9, 8), (1.0, 9)]
    + [(hits / 10, hits - 1) for hits in range(1, 11)]
    + [(hits / 30, (hits - 1) // 3) for hits in range(1, 31)],
)
def test_bins_contain_their_upper_edge(share, position):
    expected = tuple(int(i == position) for i in range(10))
    assert _histogram([share], [share])["original"] == expected


def test_last_bit_of_a_share_does_not_move_it_to_the_next_bin():
    share = 0.1 + 0.2 + 0.4
    assert share > 0.7
    assert _histogram([share], [share])["original"][5:8] == (0, 1, 0)


def test_histogram_counts_both_columns_and_leaves_out_classes_without_images():
    table = _histogram([0.0, 0.1, 0.95, math.nan], [1.0, 1.0, 0.15, math.nan])
    assert table["original"] == (2, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    assert table["sub_architecture"] == (0, 1, 0, 0, 0, 0, 0, 0, 0, 2)


def test_class_at_seventy_percent_is_in_the_seventh_bin():
    network = ReadOut()
    table = accuracy(network, keeping(network, [[0]]), pictures([0] * 7 + [1] * 3, [0] * 10))
    assert accuracy_histogram(table)["original"] == (0, 0, 0, 0, 0, 0, 1, 0, 0, 0)
