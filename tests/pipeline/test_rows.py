"""Class names and files of groups, as typed, become class indices."""

import json

import numpy as np
import pytest
import torch

from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, SettingError
from unweave.pipeline.rows import class_index, class_indices, read_groups

NAMES = ("tench", "crane", "golden retriever", "crane", "7", "collie")


@pytest.fixture
def images():
    return LabelledImages(torch.zeros(6, 1), np.arange(6), NAMES)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "groups.json"


def test_names_and_indices_may_be_mixed(images):
    assert class_indices("tench, 2 ,golden retriever,collie", images) == [0, 2, 2, 5]


def test_a_number_is_an_index_unless_a_class_has_that_name(images):
    assert class_index("7", images) == 4
    assert class_index("9", images) == 9  # whether the network has it is not asked here
    assert class_index(7, images) == 7


def test_a_name_of_several_classes_is_refused_with_their_indices(images):
    with pytest.raises(SettingError, match=r"2 classes are named 'crane'; give the index: \[1, 3\]"):
        class_indices("tench,crane", images)


@pytest.mark.parametrize("typed", ["", "-1", "1.5", "²", "dog"])
def test_what_is_neither_a_name_nor_an_index_is_refused(images, typed):
    with pytest.raises(SettingError, match="no class '"):
        class_indices(typed, images)


def test_an_unknown_name_is_answered_with_names_like_it(images):
    with pytest.raises(SettingError, match="no class 'colie'; there is 'collie'"):
        class_indices("colie", images)


def test_without_names_there_are_indices_alone():
    unnamed = LabelledImages(torch.zeros(2, 1), np.arange(2))
    assert class_indices("1,0", unnamed) == [1, 0]
    with pytest.raises(SettingError, match=r"no class 'tench'$"):
        class_indices("tench", unnamed)


def test_groups_keep_their_order_and_their_members(images, file):
    file.write_text(json.dumps({"dogs": ["golden retriever", 5], "fish": ["tench"]}))
    assert list(read_groups(file, images).items()) == [("dogs", [2, 5]), ("fish", [0])]


def test_a_byte_order_mark_is_no_obstacle(images, file):
    file.write_bytes(b'\xef\xbb\xbf{"fish": [0]}')
    assert read_groups(file, images) == {"fish": [0]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1, 2]", "must hold an object"),
        (b"{}", "must hold an object"),
        (b'{"a": 3}', "group 'a' must list class names or indices, found 3"),
        (b'{"a": []}', "group 'a' must list"),
        (b'{"a": [true]}', "group 'a' must list"),
        (b'{"a": [1.5]}', "group 'a' must list"),
        (b'{"a": [[1]]}', "group 'a' must list"),
    ],
)
def test_a_file_that_is_not_groups_is_refused_by_name(images, file, content, message):
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_groups(file, images)
    assert str(caught.value).startswith(str(file))


def test_a_file_that_is_not_there_is_refused(images, file):
    with pytest.raises(DataError, match="cannot be read"):
        read_groups(file, images)


def test_an_unknown_member_is_refused(images, file):
    file.write_text('{"dogs": ["wolf"]}')
    with pytest.raises(SettingError, match="no class 'wolf'"):
        read_groups(file, images)
