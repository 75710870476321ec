"""What a search has to say about its result."""

import warnings

import numpy as np
import pytest

from unweave.errors import DataError, FewStepsWarning
from unweave.network.sites import Site
from unweave.search.messages import warn_of_damage, warn_of_few_steps, warn_of_rows_without_steps
from unweave.search.objectives import OBJECTIVES
from unweave.search.plan import Plan

SITES = [Site("narrow", 1, 4, (4, 2, 2)), Site("wide", 1, 100, (100, 2, 2))]


@pytest.fixture
def silent():
    """Every warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_damaged_images_are_counted_and_the_first_is_named():
    with pytest.warns(UserWarning, match="^2 of 9 images cannot be read and were left out; the first: no header$"):
        warn_of_damage({5: "cut off", 3: "no header"}, 9)


def test_nothing_is_said_of_no_damage(silent):
    assert warn_of_damage({}, 9) is None


def test_images_none_of_which_can_be_read_are_refused():
    with pytest.raises(DataError, match="none of the 2 images can be read; the first: cut off"):
        warn_of_damage({0: "cut off", 1: "no header"}, 2)


def test_rows_without_steps_are_named_up_to_five():
    names = [f"class{number}" for number in range(8)]
    with pytest.warns(UserWarning, match=r"of 7 classes correctly \(class1, class2, class3, class4, class5\); their"):
        warn_of_rows_without_steps(names, np.array([3, 0, 0, 0, 0, 0, 0, 0]))


def test_nothing_is_said_where_all_rows_stepped(silent):
    assert warn_of_rows_without_steps(["a", "b"], np.array([1, 2])) is None


def few_steps(made, objective="released", random=True, **settings):
    plan = Plan.of_classes(list(range(len(made))), **{"rate": 0.5, **settings})
    return warn_of_few_steps(plan, np.array(made), SITES, OBJECTIVES[objective](beta=0.1), random=random)


def test_few_steps_are_those_that_cannot_cross_the_random_start():
    # 100 channels start at length 10: with steps of 0.5, 19 steps are too few, 20 are not; 0 are another warning's
    with pytest.warns(
        FewStepsWarning, match=r"^1 of 3 .*from 19 of 0\.5.* at most 9\.5, .*'wide' .* length 10.*the random start; "
    ):
        few_steps([0, 19, 20])


def test_nothing_is_said_of_enough_steps(silent):
    assert few_steps([0, 20]) is None


def test_steps_that_become_shorter_count_as_long_as_they_are():
    # of two passes of selective the first has whole steps, the second half: 0.375 each, on average
    with pytest.warns(
        FewStepsWarning, match=r"from 26 of 0\.375.* at most 9\.75, .*mostly what the search began with; "
    ):
        few_steps([26, 27], "selective", random=False, passes=2)


def test_a_random_start_is_as_long_as_its_objective_draws_it(silent):
    # selective draws N(0.5, 0.1): 100 channels have length sqrt(100 * 0.26) = 5.1
    assert few_steps([14], "selective", passes=2) is None
