"""Searches at a told size."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import unweave as uw
from tests.search.interrupted import Scratched
from tests.search.problems import prepared_small, small_problem
from unweave.data.labelled import labelled
from unweave.errors import DataError, NumericError, SettingError
from unweave.search import elimination as elimination_module
from unweave.search.closing import Closed, MarginModel, close_channels
from unweave.search.elimination import CHOICE_IMAGES, Elimination
from unweave.search.objectives.class_terms import margin
from unweave.search.objectives.selective import Selective
from unweave.search.plan import Plan


class Saturated(nn.Module):
    """Five channels after a ReLU. The first adds `4 min(1.5 x, 1) + 0.4 x` to the score of class 0: its derivative is
    small where it is open, and large midway to closed."""

    def __init__(self):
        super().__init__()
        self.relu, self.last = nn.ReLU(), nn.Linear(5, 2, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[4.0, 2, 0, 0, 0], [0.0, 0, 0, 0, 4]]))

    def forward(self, images):
        values = self.relu(images)
        first = (1.5 * values[:, :1]).clamp(max=1.0) + 0.1 * values[:, :1]
        return self.last(torch.cat([first, values[:, 1:]], 1))


class Evidence(nn.Module):
    """Six channels after a ReLU; the class scores are weighted sums of them. Margins of two classes are exact."""

    weights = ((4.0, 2.0, 1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0, 1.0, 4.0))

    def __init__(self):
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(6, 6, bias=False), nn.ReLU(), nn.Linear(6, 2, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(6))
            self.last.weight.copy_(torch.tensor(self.weights))

    def forward(self, images):
        return self.last(self.relu(self.first(images)))


@pytest.fixture
def evidence():
    """Images of class 0 have its three channels at 1, those of class 1 the last two; channel 3 is always at 1."""
    images = torch.tensor([[1.0, 1, 1, 1, 0, 0], [0.0, 0, 0, 1, 1, 1]]).repeat(8, 1)
    return Evidence().eval(), TensorDataset(images, torch.arange(2).repeat(8))


def told(network, data, keep, **settings):
    return uw.disentangle(network, data, objective="selective", keep=keep, show_progress=False, **settings)


def elimination(keep=0.5, classes=(0, 1, 2, 3), **settings):
    prepared, images, _ = prepared_small()
    plan = Plan.of_classes(
        classes, **{"batch": 4, "passes": 3, "rows_per_batch": len(classes), "others": True, "keep": keep, **settings}
    )
    return Elimination(prepared.tapped, Selective(0.0), images, plan, prepared.device, prepared.dtype)


def finished(solver):
    for number in range(solver.plan.passes):
        solver.run_pass(number)
    return solver


def test_channels_that_decide_nothing_go_first_and_those_that_decide_most_stay(evidence):
    paths = told(*evidence, 0.34, passes=4)
    (site,) = paths.sites.names
    assert paths.masks[site].tolist() == [[True, False, False, False, False, True]] * 2
    assert paths.scores[site][0].argmin() == 3


def test_every_row_keeps_the_share_that_is_asked_for():
    for keep in (0.2, 0.5, 0.9):
        solver = finished(elimination(keep))
        kept = sum((table > 0).sum(1) for table in solver.scores)
        assert kept.tolist() == [round(keep * 13)] * 4


def test_one_channel_at_least_is_kept():
    solver = finished(elimination(0.01))
    assert sum((table > 0).sum(1) for table in solver.scores).tolist() == [1] * 4


def test_scores_order_closed_channels_by_when_they_went_below_open_ones():
    solver = finished(elimination(0.4, passes=8))
    scores = torch.cat(solver.scores, 1)
    assert ((scores >= -1) & (scores <= 1) & (scores != 0)).all()
    assert (scores.sort(1).values[:, -5:] > 0).all()
    assert all(len(row.unique()) == 13 for row in scores)


def test_closed_channels_are_ranked_anew_after_every_choice():
    solver = elimination(classes=(0,))
    channels = torch.arange(13)
    first = Closed(channels > 2, [2, 0, 1], torch.where(channels > 2, channels.double(), torch.inf))
    solver._write(0, torch.ones(13, dtype=torch.float64), first)
    scores = torch.cat(solver.scores, 1)[0]
    assert scores[:3].tolist() == [-0.5, -0.25, -0.75]
    # Channel 0 is opened again and goes once more; 2 stays open, 5 goes for the first time.
    open_ = (channels == 2) | (channels > 2) & (channels != 5)
    solver._write(0, scores, Closed(open_, [5, 0], torch.where(open_, channels.double(), torch.inf)))
    scores = torch.cat(solver.scores, 1)[0]
    assert scores[[1, 5, 0]].tolist() == [-0.75, -0.5, -0.25]
    assert (scores[open_] > 0).all()


@pytest.mark.parametrize("half", [[], [0, 9]])
def test_margins_and_their_derivatives_are_those_of_the_masked_network(half, monkeypatch):
    """With gates half open derivatives are taken there, and tell the margins with these gates open."""
    solver = elimination()
    halves = torch.zeros(13, dtype=torch.float64)
    halves[half] = 0.5
    monkeypatch.setattr(solver, "_half_closed", lambda row, number: halves)
    with torch.no_grad():
        solver.scores[1][:, 2] = -1.0
    batch = solver.batches(0)[0]
    positions = np.concatenate([images for _, images in batch])
    reference = solver._referred(solver.data.images(positions))
    margins, slopes = solver._slopes(batch, reference, 0)
    network, (images, _) = small_problem()[0], small_problem()[1].tensors
    owner = np.concatenate([[row] * len(found) for row, found in batch])
    for image in (0, len(positions) - 1):
        gates = 1.0 - halves
        gates[4 + 2] = 0.0

        def margin_of(gates, image=image):
            values = images[positions[image]][None]
            parts = gates.split([4, 4, 5])
            values = network.relu_a(network.norm(network.stem(values))) * parts[0][:, None, None]
            values = network.relu_b(values + network.inner(values)) * parts[1][:, None, None]
            values = network.relu_c(network.last(values)) * parts[2][:, None, None]
            return margin(network.classifier(values.mean((2, 3))), torch.tensor([owner[image]]))[0]

        expected = torch.autograd.functional.jacobian(margin_of, gates)
        opened = margin_of(gates).detach() + halves @ expected
        assert float(margins[image]) == pytest.approx(float(opened), abs=1e-9)
        torch.testing.assert_close(slopes[image], expected, atol=1e-9, rtol=1e-7)


def test_twice_as_many_as_go_next_are_half_open_the_cheapest_first():
    solver = elimination(0.5, classes=(0,), passes=10, batch=40)
    channels = torch.arange(13)
    open_ = channels != 4
    costs = torch.where(open_, (channels - 6).abs().double(), torch.inf)
    assert not solver._half_closed(0, 1).any()  # before the first choice no cost is known
    solver._write(0, torch.ones(13, dtype=torch.float64), Closed(open_, [4], costs))
    solver.steps[0] = 1
    # after two of seven passes 11 of 13 are wanted, 12 are open
    assert set(torch.nonzero(solver._half_closed(0, 1))[:, 0].tolist()) == {5, 6}


def test_a_channel_whose_loss_would_show_only_midway_stays(monkeypatch):
    images = torch.tensor([[1.0, 1, 1, 1, 0], [0.0, 0, 1, 1, 1]]).repeat(8, 1)
    data = TensorDataset(images, torch.arange(2).repeat(8))
    settings = {"keep": 0.4, "passes": 10, "sites": ["relu/relu:0"]}
    (mask,) = told(Saturated().eval(), data, **settings).masks.values()
    assert mask[0].tolist() == [True, False, False, False, True]
    monkeypatch.setattr(elimination_module, "HALF_OPEN", 0)
    (mask,) = told(Saturated().eval(), data, **settings).masks.values()
    assert mask[0].tolist() == [False, True, False, False, True]


def test_the_size_is_reached_early_and_channels_are_exchanged_from_then_on(monkeypatch):
    solver, asked = elimination(0.5, classes=(0,), passes=10, batch=40), []

    def spy(model, open_, keep, reopen=0):
        asked.append((keep, reopen))
        return close_channels(model, open_, keep, reopen)

    monkeypatch.setattr(elimination_module, "close_channels", spy)
    monkeypatch.setattr(elimination_module, "EXCHANGED", 0.3)
    finished(solver)
    # 13 channels, 6.5 fewer after seven passes: of 1 fewer 0.4 are opened again. Then 0.3 * 13 * (2/3, 1/3, 0).
    assert asked == [(12, 0), (11, 0), (10, 0), (9, 0), (8, 0), (7, 0), (6, 0), (6, 3), (6, 1), (6, 1)]


def test_nothing_is_exchanged_before_the_size_is_reached(monkeypatch):
    solver, asked = elimination(0.9, classes=(0,), passes=10, batch=40), []

    def spy(model, open_, keep, reopen=0):
        asked.append(reopen)
        return close_channels(model, open_, keep, reopen)

    monkeypatch.setattr(elimination_module, "close_channels", spy)
    finished(solver)
    assert asked[:6] == [0] * 6  # one of 13 channels goes, in one of the choices
    assert asked[-3:] == [1, 1, 1]


def test_a_row_is_searched_as_if_it_were_alone():
    together = finished(elimination())
    for row in range(4):
        alone = finished(elimination(classes=(row,)))
        for several, one in zip(together.scores, alone.scores, strict=True):
            assert torch.equal(several[row] > 0, one[0] > 0)


def test_choices_look_at_about_a_hundred_images_of_the_row(evidence):
    network, data = evidence
    images = data.tensors[0].repeat(30, 1)
    labels = data.tensors[1].repeat(30)  # 240 images a class
    paths = told(network, TensorDataset(images, labels), 0.5, passes=3)
    assert paths.manifest["steps"] == [3 * round(240 / CHOICE_IMAGES)] * 2


def test_a_choice_is_made_on_all_images_since_the_last():
    """One choice of one pass against the same by hand."""
    solver = elimination(0.5, classes=(1,), passes=1, batch=3)
    batches = solver.batches(0)
    parts = []
    for batch in batches:
        positions = np.concatenate([images for _, images in batch])
        found = solver._slopes(batch, solver._referred(solver.data.images(positions)), 0)
        parts.append((*found, solver._own(batch)))
    margins, slopes, own = (torch.cat(part) for part in zip(*parts, strict=True))
    expected = close_channels(MarginModel(margins, slopes, own), torch.ones(13, dtype=torch.bool), 6, reopen=3)
    finished(solver)
    assert torch.equal(torch.cat(solver.scores, 1)[0] > 0, expected.open)


def test_damaged_images_are_left_out():
    network, data = small_problem(torch.float32)
    mine = np.flatnonzero(data.tensors[1].numpy() == 0)
    with pytest.warns(UserWarning, match="cannot be read and were left out"):
        part = told(network, labelled(Scratched(data, tuple(mine[:-1]))), 0.5, classes=[0], passes=2)
    assert sum(int(mask.sum()) for mask in part.masks.values()) == round(0.5 * 13)


def test_a_row_whose_own_images_are_all_damaged_stays_whole():
    network, data = small_problem(torch.float32)
    mine = np.flatnonzero(data.tensors[1].numpy() == 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        paths = told(network, labelled(Scratched(data, tuple(mine))), 0.5, classes=[0, 1], passes=2)
    kept = sum(mask.sum(1) for mask in paths.masks.values())
    assert kept.tolist() == [round(0.5 * 13), 13]


def test_one_class_alone_is_refused():
    network, data = small_problem(torch.float32)
    only = data.tensors[1] == 0
    with pytest.raises(DataError, match="no images of other classes"):
        told(network, TensorDataset(data.tensors[0][only], data.tensors[1][only]), 0.5)


@pytest.mark.parametrize("keep", [0, 1, 1.5, -0.1, math.nan, "half", True])
def test_a_share_that_is_none_is_refused(keep):
    network, data = small_problem(torch.float32)
    with pytest.raises(SettingError, match="keep must be a share between 0 and 1"):
        told(network, data, keep)


def test_numbers_that_are_none_are_refused_by_name():
    network, data = small_problem(torch.float32)
    images = data.tensors[0].clone()
    images[20, 0, 0, 0] = math.nan
    with pytest.raises(NumericError, match="NaN or infinity"):
        told(network, TensorDataset(images, data.tensors[1]), 0.5)


def test_the_manifest_says_the_size_and_that_all_channels_were_open_at_first():
    network, data = small_problem(torch.float32)
    paths = told(network, data, 0.5, passes=2)
    assert paths.manifest["settings"]["keep"] == 0.5
    assert paths.manifest["start"] == {"method": "open"}
