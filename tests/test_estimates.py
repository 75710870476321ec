"""Time and bytes as a person says them."""

from dataclasses import dataclass

import pytest

from unweave.estimates import Estimate, duration, fastest, size


@dataclass(frozen=True)
class Walk(Estimate):
    miles: int
    seconds: float

    def words(self):
        return f"{self.miles} miles: {duration(self.seconds)}"


def test_an_estimate_is_plain_values_and_words():
    walk = Walk(3, 3600.0)
    assert walk.as_dict() == {"miles": 3, "seconds": 3600.0}
    assert str(walk) == "3 miles: 60 min"


def test_of_work_that_is_done_nothing_is_left():
    assert Walk.nothing() == Walk(0, 0)
    assert str(Walk.nothing()) == "nothing is left to do"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "1 s"), (89.4, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_seconds_become_minutes_and_hours(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (25e6, "25 MB"), (3e12, "3000 GB")]
)
def test_bytes_take_the_unit_that_makes_them_short(count, said):
    assert size(count) == said


def test_the_first_step_warms_up_and_the_fastest_counts():
    assert fastest([0.1, 3.0, 2.0]) == 2.0
    assert fastest([0.1]) == 0.1
