"""States of filters, worked out by hand."""

import pytest
import torch

from tests.paths.made import make, sites_of
from unweave.analysis.states import filter_states
from unweave.errors import PathsError
from unweave.paths import Paths, Rows


def _paths(rows):
    # Channels of the first site: always on, always off, on for some. The second is always on.
    first = torch.tensor([[1, 0, 1], [1, 0, 0], [1, 0, 1], [1, 0, 0]], dtype=torch.bool)
    return Paths({"a/relu:0": first, "b/relu:0": torch.ones(4, 1, dtype=torch.bool)}, rows, sites_of(3, 1), {})


def test_a_channel_is_energetic_silent_or_dynamic():
    table = filter_states(_paths(Rows.of_inputs(4)))
    assert table["site"] == ("a/relu:0", "b/relu:0")
    assert (table["energetic"], table["silent"], table["dynamic"]) == ((1, 1), (1, 0), (1, 0))
    assert table["energetic_share"] == (1 / 3, 1.0)
    assert table["silent_share"] == table["dynamic_share"] == (1 / 3, 0.0)


def test_the_summary_is_of_all_channels():
    summary = filter_states(_paths(Rows.of_inputs(4))).summary
    assert summary == {"energetic_share": 0.5, "silent_share": 0.25, "dynamic_share": 0.25}


def test_over_fewer_inputs_a_dynamic_channel_may_be_energetic():
    table = filter_states(_paths(Rows.of_inputs(4)).select([0, 2]))
    assert (table["energetic"], table["dynamic"]) == ((2, 1), (0, 0))
    assert table.title == "States of filters over 2 inputs"


def test_rows_of_classes_have_states_too():
    assert filter_states(_paths(Rows.of_classes(range(4)))).title == "States of filters over 4 classes"


def test_every_channel_has_one_state():
    table = filter_states(make(Rows.of_inputs(3), sites_of(10, 20)))
    counted = zip(table["energetic"], table["silent"], table["dynamic"], strict=True)
    assert [sum(counts) for counts in counted] == [10, 20]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_rows_are_refused(count):
    with pytest.raises(PathsError, match=f"compare what rows select, there is {count}"):
        filter_states(_paths(Rows.of_inputs(4))[:count])
