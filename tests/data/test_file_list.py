"""File lists: what goes in comes out, in any number and of any name that a file can have."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.data.file_list import FileList

NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and b"/" not in name).map(os.fsdecode)


@given(st.lists(st.tuples(NAMES, st.integers(0, 999))))
def test_every_name_and_class_is_found_where_it_was_put(pairs):
    found = FileList("root", [name for name, _ in pairs], [label for _, label in pairs])
    assert list(found) == [(os.path.join("root", name), label) for name, label in pairs]


def test_positions_count_from_the_end_and_slices_are_lists():
    found = FileList("r", ["a", "bb", "ccc"], [2, 1, 0])
    assert found[-1] == ("r/ccc", 0)
    assert found[1:] == [("r/bb", 1), ("r/ccc", 0)]
    with pytest.raises(IndexError):
        found[3]


def test_another_number_of_classes_than_names_is_refused():
    with pytest.raises(ValueError, match="2 names, 1 labels"):
        FileList("r", ["a", "b"], [0])


def test_a_million_names_take_few_bytes():
    found = FileList("r", (f"n{k:08d}/{k:08d}.jpg" for k in range(1000)), [0] * 1000)
    assert found._names.nbytes + found._ends.nbytes + found.labels.nbytes < 40 * 1000
