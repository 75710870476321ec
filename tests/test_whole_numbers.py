"""Whole numbers are taken whatever their type, and nothing else is."""

import re

import numpy as np
import pytest

from unweave.errors import SettingError
from unweave.whole_numbers import whole_number


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2)])
def test_whole_numbers_of_any_type_become_ints(value):
    found = whole_number("count", value, 1)
    assert found == 2
    assert type(found) is int


def test_both_ends_are_taken():
    assert [whole_number("count", value, 0, 3) for value in (0, 3)] == [0, 3]


@pytest.mark.parametrize("value", [0, -5, 2.0, 2.5, float("nan"), "2", None, True, np.float64(2), np.bool_(True), [2]])
def test_anything_else_is_refused_by_the_setting_s_name(value):
    with pytest.raises(SettingError, match=re.escape(f"count must be a whole number from 1, found {value!r}")):
        whole_number("count", value, 1)


@pytest.mark.parametrize("value", [-1, 4])
def test_the_most_is_said_where_there_is_one(value):
    with pytest.raises(SettingError, match=f"count must be a whole number from 0 to 3, found {value}"):
        whole_number("count", value, 0, 3)
