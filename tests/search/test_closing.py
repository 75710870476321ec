"""Which channels are closed, on margins and slopes small enough to work out by hand."""

import math

import pytest
import torch

from unweave.search.closing import CAUTION, MarginModel, close_channels


def model(margins, slopes, own):
    return MarginModel(torch.tensor(margins), torch.tensor(slopes), torch.tensor(own))


def all_open(count):
    return torch.ones(count, dtype=torch.bool)


def test_the_loss_is_that_of_own_images_and_of_others_each_in_its_mean():
    found = model([2.0, 0.0, -1.0], [[0.0]] * 3, [True, True, False])
    own = (math.log1p(math.exp(-2.0)) + math.log(2)) / 2
    others = math.log1p(math.exp(-1.0))
    assert float(found.loss(found.margins[:, None])[0]) == pytest.approx(own + others, abs=1e-6)


def test_a_channel_that_no_decision_hangs_on_goes_first():
    found = close_channels(model([2.0, -2.0], [[3.0, 0.0], [-3.0, 0.0]], [True, False]), all_open(2), keep=1)
    assert found.order == [1]
    assert found.open.tolist() == [True, False]


def test_a_channel_that_speaks_for_the_class_on_images_of_others_goes_before_one_that_speaks_against_it():
    slopes = [[1.0, 0.0], [1.0, -1.0]]  # channel 0 speaks for the class on both images, 1 against it on the other
    found = close_channels(model([6.0, 0.0], slopes, [True, False]), all_open(2), keep=1)
    assert found.order == [0]


def test_channels_whose_changes_cancel_go_together():
    # Alone, each of the first two changes more than the third; after one of them, the other sets it right.
    margins, slopes = [1.0, -1.0], [[2.0, -2.0, 1.5], [2.0, -2.0, -1.5]]
    found = close_channels(model(margins, slopes, [True, False]), all_open(3), keep=1)
    assert set(found.order) == {0, 1}


def test_of_channels_that_cost_the_loss_equally_the_one_that_changes_less_goes_first():
    # On many images the changes of channel 0 cancel in the mean; caution counts their squares.
    found = model([40.0, 40.0], [[3.0, 0.5], [-3.0, 0.5]], [True, True])
    assert found.caution().tolist() == pytest.approx([CAUTION * 9, CAUTION * 0.25])
    assert close_channels(found, all_open(2), keep=1).order == [1]


def test_a_closed_channel_is_opened_again_where_that_lowers_the_loss():
    margins, slopes, own = [0.0, 0.0], [[1.0, 0.0], [-1.0, 0.0]], [True, False]
    closed = torch.tensor([False, True])
    found = close_channels(model(margins, slopes, own), closed, keep=1, reopen=1)
    assert found.open.tolist() == [True, False]
    assert found.order == [1]


def test_a_closed_channel_stays_closed_where_opening_it_harms_or_nothing_may_be_opened():
    harmful = model([0.0, 0.0], [[-1.0, 0.0], [1.0, 0.0]], [True, False])
    helpful = model([0.0, 0.0], [[1.0, 0.0], [-1.0, 0.0]], [True, False])
    closed = torch.tensor([False, True])
    assert close_channels(harmful, closed, keep=1, reopen=1).open.tolist() == [False, True]
    assert close_channels(helpful, closed, keep=1, reopen=0).open.tolist() == [False, True]


def test_costs_are_the_loss_and_caution_of_closing_each_open_channel_next():
    given = model([2.0, -1.0], [[1.0, 0.5, 2.0], [0.0, 0.5, 0.0]], [True, False])
    found = close_channels(given, all_open(3), keep=2)
    assert len(found.order) == 1
    gone = found.order[0]
    assert found.costs[gone] == math.inf
    margins = given.margins - given.slopes[:, gone]
    for channel in set(range(3)) - {gone}:
        cost = given.loss((margins - given.slopes[:, channel])[:, None])[0] + given.caution()[channel]
        assert float(found.costs[channel]) == pytest.approx(float(cost))


def test_what_is_given_is_not_changed():
    given, open_ = model([2.0, -1.0], [[1.0, 0.5], [0.0, 0.5]], [True, False]), all_open(2)
    close_channels(given, open_, keep=1)
    assert open_.all()
    assert given.margins.tolist() == [2.0, -1.0]
