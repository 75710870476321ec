"""A run folder goes on with the search that it was begun with, and no other."""

import pytest

from unweave.errors import MismatchError, RunError
from unweave.runs.identity import check_identity, check_images, check_parts, check_same


def test_equal_settings_pass():
    assert check_same("run", {"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [1, 2]}, "a": 1}) is None


@pytest.mark.parametrize(
    ("recorded", "given", "message"),
    [
        ({"passes": 2}, {"passes": 3}, "run was begun with passes = 2, this call has 3"),
        ({"passes": 2}, {}, "passes = 2, this call has none"),
        ({}, {"groups": {"a": [1]}}, "groups = none, this call has"),
        ({"b": {"c": 1, "d": 2}}, {"b": {"c": 1, "d": 5}}, "b.d = 2, this call has 5"),
        ({"x": "a" * 500}, {"x": "b"}, r"x = 'a{10,80}\.\.\., this call has 'b'"),
    ],
)
def test_the_first_difference_is_named_with_both_values(recorded, given, message):
    with pytest.raises(RunError, match=message):
        check_same("run", recorded, given)


def test_other_images_are_counted():
    before, now = {"images": 5, "classes": 2, "digest": "ab"}, {"images": 6, "classes": 2, "digest": "cd"}
    with pytest.raises(RunError, match=r"other search images: 5 of 2 classes \(digest ab\) there, 6 of 2"):
        check_images("run", "search", before, now)
    with pytest.raises(RunError, match="other validation images: none there"):
        check_images("run", "validation", None, now)
    assert check_images("run", "search", now, dict(now)) is None


def test_a_record_must_have_all_its_parts():
    assert check_parts("run.json", {"asked": {}, "plan": {}}, ["asked", "plan"]) is None
    with pytest.raises(RunError, match=r"run\.json is damaged \(no plan\); give another folder"):
        check_parts("run.json", {"asked": {}, "plan": 3}, ["asked", "plan"])


@pytest.mark.parametrize(
    ("part", "other", "error", "message"),
    [
        ("asked", {"seed": 1}, RunError, "run was begun with seed = 0, this call has 1"),
        ("network", {"digest": "b", "tensors": {}}, MismatchError, "this is another network than what was begun"),
        ("data", {"search": {"images": 2}}, RunError, "run was begun with other search images"),
        ("data", {"validation": {"images": 2}}, RunError, "run was begun with other search images: None of None"),
    ],
)
def test_settings_network_and_images_must_all_be_the_same(part, other, error, message):
    record = {"asked": {"seed": 0}, "network": {"digest": "a", "tensors": {}}, "data": {"search": {}}}
    assert check_identity("run", record, dict(record), "what was begun") is None
    with pytest.raises(error, match=message):
        check_identity("run", record, {**record, part: other}, "what was begun")
