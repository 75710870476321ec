"""Images of the class and of others, binary gates, the class's score kept."""

import math

import numpy as np
import pytest
import torch

from tests.search.problems import searched, small_problem, solver_of
from unweave.data.labelled import labelled
from unweave.errors import DataError, SettingError
from unweave.search.disentangle import disentangle
from unweave.search.objectives.selective import Selective
from unweave.search.preparation import prepare
from unweave.search.settings import Settings


@pytest.fixture(scope="module")
def small():
    network, data = small_problem()
    images = labelled(data)
    return prepare(network, images, "block", None, None), images


def scores_of(*shares):
    return torch.tensor(shares, dtype=torch.float64).log()


def test_own_images_cost_minus_log_p_and_others_minus_log_of_the_rest():
    # p = (1/4, 3/4), the untouched network the same: no error of the score
    scores, labels = scores_of((0.25, 0.75)), torch.tensor([0])
    assert float(Selective(0.0).class_term(scores, scores, labels)) == pytest.approx(math.log(4))
    assert float(Selective(0.0).others_term(scores, scores, labels)) == pytest.approx(-math.log(3 / 4))


def test_the_class_score_is_kept_relative_to_its_size():
    gated = torch.tensor([[1.0, 0.0], [-2.0, 0.0]], dtype=torch.float64)
    untouched = torch.tensor([[3.0, 9.0], [-4.0, 9.0]], dtype=torch.float64)
    labels = torch.zeros(2, dtype=torch.long)
    whole, without = Selective(0.0), Selective(0.0, reconstruction=False)
    for term in ("class_term", "others_term"):
        error = getattr(whole, term)(gated, untouched, labels) - getattr(without, term)(gated, untouched, labels)
        # 2 / (1 + 3), 2 / (1 + 4), less 0.05; the other class's score is free
        assert error.tolist() == pytest.approx([0.45, 0.35])


def test_a_class_score_that_differs_by_rounding_has_no_gradient():
    untouched = torch.tensor([[3.0, 9.0]], dtype=torch.float64)
    gated = (untouched + 1e-12).requires_grad_()
    error = Selective(0.0)._score_error(gated, untouched, torch.zeros(1, dtype=torch.long))
    assert error.item() == pytest.approx(0, abs=1e-20)
    assert torch.autograd.grad(error.sum(), gated)[0].abs().max() < 1e-10


def test_penalty_is_beta_times_the_mean_gate():
    assert Selective(2.0).gate_term(torch.tensor([[0.5, 1.0]])).tolist() == [1.5]


def test_mini_batches_hold_as_many_images_of_other_classes(small):
    solver = solver_of(*small, Selective(0.1), (0, 1, 2), others=True)
    labels, seen = small[1].labels, {0: [], 1: [], 2: []}
    for number in range(4):
        for batch in solver.batches(number):
            for row, images in batch:
                own = labels[images] == row
                assert own.sum() == (~own).sum()
                seen[row].extend(images[~own].tolist())
    # they take turns: none a second time before all were there
    for row, positions in seen.items():
        others = int((labels != row).sum())
        assert len(set(positions[:others])) == min(others, len(positions))


def test_opponents_alone_are_shown_where_there_are_any():
    network, data = small_problem()
    paths = disentangle(network, data, objective="selective", classes=[0], against=[2], passes=2, rate=1.0)
    images = labelled(data)
    shown = np.isin(images.labels, [0, 2])
    assert paths.manifest["data"]["search"]["images"] == int(shown.sum())


def test_rows_do_not_see_each_other(small):
    together = searched(*small, Selective(0.3), (0, 1, 2), others=True)
    alone = searched(*small, Selective(0.3), (1,), others=True)
    for several, one in zip(together.scores, alone.scores, strict=True):
        assert torch.allclose(several[[1]], one, rtol=0, atol=1e-12)


def test_kept_images_do_not_matter(small):
    kept = searched(*small, Selective(0.3), others=True, kept=True)
    assert kept.store.full
    anew = searched(*small, Selective(0.3), others=True)
    assert all(torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(kept.scores, anew.scores, strict=True))


def test_search_begins_with_the_whole_network(small):
    solver = solver_of(*small, Selective(0.3), others=True)
    assert all((score > 0).all() for score in solver.scores)
    assert float(torch.cat([score.flatten() for score in solver.scores]).mean()) == pytest.approx(0.5, abs=0.05)


def test_gates_of_the_search_are_zero_or_one(small, monkeypatch):
    solver = solver_of(*small, Selective(0.3), (0,), others=True)
    solver.scores[0][0, 0] = -0.2
    from unweave.search import solver as module

    gates = []

    class Watching(module.SearchTap):
        def __init__(self, objective, sites, used, *rest):
            super().__init__(objective, sites, used, *rest)
            gates.append([gate.detach().clone() for gate in used])

    monkeypatch.setattr(module, "SearchTap", Watching)
    before = solver.scores[0].clone()
    solver.run_pass(0)
    assert gates[0][0][:, 0].unique().tolist() == [0.0]
    assert gates[0][0][:, 1:].unique().tolist() == [1.0]
    assert (solver.scores[0] != before).all()  # gradients reach closed gates too


def test_a_large_beta_closes_more_channels(small):
    counts = []
    for beta in (0.0, 100.0):
        solver = searched(*small, Selective(beta), (0, 1, 2), others=True, passes=8, rate=0.5)
        counts.append(sum(int((score > 0).sum()) for score in solver.scores))
    assert counts[1] < counts[0] / 2


def test_one_class_alone_has_nothing_to_be_told_from():
    network, data = small_problem()
    only = torch.utils.data.Subset(data, np.flatnonzero(data.tensors[1].numpy() == 0).tolist())
    with pytest.raises(DataError, match="no images of other classes to tell 0 from"):
        disentangle(network, only, objective="selective")


def test_beta_is_its_own_where_nobody_says_and_the_elbow_is_refused():
    assert Settings("selective").beta == 1.0
    assert Settings("released").beta == "elbow"
    with pytest.raises(SettingError, match="the elbow weighs reconstruction at the sites"):
        Settings("selective", "elbow")


def test_the_penalty_is_that_of_the_mean_site_and_steps_become_shorter(small):
    assert Selective(1.0).penalty_scale(4) == 0.25
    assert [Selective(1.0).rate_share(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    first, last = (searched(*small, Selective(0.3), (0,), others=True, passes=passes) for passes in (1, 2))
    steps = [one.steps[0] for one in (first, last)]
    moved = [after - before for after, before in zip(last.scores, first.scores, strict=True)]
    lengths = torch.stack([table.norm() for table in moved])
    assert float(lengths.max()) <= first.plan.rate * 0.5 * (steps[1] - steps[0]) + 1e-9
