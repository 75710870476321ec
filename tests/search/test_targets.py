"""What rows are searched for: groups as one class, opponents instead of all others."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import TensorDataset

from tests.search.problems import prepared_small, reference_of, small_problem
from unweave.data.labelled import LabelledImages, labelled
from unweave.errors import DataError, SettingError
from unweave.search.disentangle import disentangle
from unweave.search.objectives import objective_named
from unweave.search.plan import Plan
from unweave.search.solver import Solver
from unweave.search.targets import Target, make_targets

# shares of a softmax over all four: 0.1, 0.2, 0.3, 0.4
SCORES = torch.tensor([[0.1, 0.2, 0.3, 0.4]], dtype=torch.float64).log()
QUICK = {"objective": "released", "beta": 0.3, "passes": 2, "batch": 4}


# --- one target


def test_one_class_among_all_is_plain():
    target = Target((3,))
    assert (target.plain, target.key, target.class_index) == (True, 3, 3)
    assert target.collapse(SCORES) is SCORES


def test_a_group_or_opponents_are_not_plain():
    assert not Target((1, 2)).plain
    assert not Target((1,), (2,)).plain
    assert (Target((1,), (2,)).class_index, Target((1, 2)).class_index) == (1, -1)


def test_a_group_s_key_belongs_to_its_members_alone():
    assert Target((1, 2)).key == Target((1, 2), (3,), "some").key
    assert Target((1, 2)).key != Target((1, 3)).key
    assert Target((1, 2)).key > 1_000_000  # not a class's


@pytest.mark.parametrize(
    ("target", "place", "share"),
    [
        (Target((1, 3)), 1, 0.2 + 0.4),
        (Target((0, 1, 2)), 0, 0.6),
        (Target((0, 1, 2, 3)), 0, 1.0),
        (Target((0,), (1,)), 0, 0.1 / 0.3),
        (Target((2,), (0, 3)), 2, 0.3 / 0.8),
        (Target((1, 2), (3,)), 1, 0.5 / 0.9),
    ],
    ids=str,
)
def test_a_collapsed_softmax_gives_the_members_share_among_those_that_take_part(target, place, share):
    shares = target.collapse(SCORES).softmax(1)[0]
    assert shares[place] == pytest.approx(share, abs=1e-12)
    out = [c for c in range(4) if c != place and (c in target.members or (target.against and c not in target.against))]
    assert shares[out].tolist() == [0.0] * len(out)
    assert shares.sum() == pytest.approx(1, abs=1e-12)


@given(st.data())
def test_the_share_is_that_of_direct_computation(data):
    count = data.draw(st.integers(2, 7))
    classes = data.draw(st.permutations(range(count)))
    members = tuple(sorted(classes[: data.draw(st.integers(1, count))]))
    others = [c for c in classes if c not in members]
    against = tuple(sorted(others[: data.draw(st.integers(0, len(others)))]))
    scores = data.draw(st.lists(st.floats(-80, 80), min_size=count, max_size=count))
    taking_part = {*members, *against} if against else set(range(count))
    top = max(scores)
    weights = [math.exp(score - top) if c in taking_part else 0.0 for c, score in enumerate(scores)]
    if sum(weights) == 0:
        return
    expected = sum(weights[c] for c in members) / sum(weights)
    collapsed = Target(members, against).collapse(torch.tensor([scores], dtype=torch.float64))
    assert float(collapsed.softmax(1)[0, members[0]]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("target", [Target((1, 3)), Target((0,), (1,)), Target((0, 1, 2, 3))], ids=str)
@pytest.mark.parametrize("name", ["released", "variational", "variational:every-class", "literal", "concept-path"])
def test_gradients_through_collapsed_scores_are_finite(target, name):
    scores = (100 * torch.randn(5, 4)).requires_grad_()
    reference = target.collapse(100 * torch.randn(5, 4))
    labels = torch.full((5,), target.members[0])
    objective_named(name, 0.1).class_term(target.collapse(scores), reference, labels).sum().backward()
    assert scores.grad is None or torch.isfinite(scores.grad).all()


def test_classes_that_do_not_take_part_get_no_gradient():
    scores = SCORES.clone().requires_grad_()
    Target((0, 1), (3,)).collapse(scores).log_softmax(1)[0, 0].backward()
    assert scores.grad[0, 2] == 0
    assert (scores.grad[0, [0, 1, 3]] != 0).all()


@pytest.mark.parametrize(
    ("target", "called"),
    [
        (Target((0, 1)), [True, True, False, False]),
        (Target((1,), (0,)), [False, True, True, False]),
        (Target((2,), (0, 1)), [False, False, True, False]),
        (Target((0, 2), (1,)), [True, False, True, False]),
        (Target((0, 1, 2)), [True, True, True, True]),
    ],
    ids=str,
)
def test_an_image_is_called_by_the_highest_score_that_takes_part_and_a_tie_is_no_call(target, called):
    # the last image's scores are all the same
    scores = torch.tensor([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]])
    assert target.called(scores).tolist() == called


# --- targets of a search


@pytest.fixture
def images():
    return LabelledImages(torch.zeros(6, 1), np.array([0, 1, 2, 3, 3, 5]), ("ant", "bee", "cat", "dog", "eel", "fox"))


def test_single_classes_come_ascending_then_groups_as_given(images):
    made = make_targets(images, 6, [3, 0], {"pets": [3, 2], "insects": [1, 0]}, None)
    assert made == (Target((0,)), Target((3,)), Target((2, 3), name="pets"), Target((0, 1), name="insects"))


def test_groups_alone_are_searched_without_single_classes(images):
    assert make_targets(images, 6, None, {"pets": [2, 3]}, None) == (Target((2, 3), name="pets"),)
    assert [target.members for target in make_targets(images, 6, None, None, None)] == [(0,), (1,), (2,), (3,), (5,)]


def test_a_list_of_opponents_serves_all_rows_without_their_own_classes(images):
    made = make_targets(images, 6, [0, 1], {"pets": [2, 3]}, [1, 2, 5])
    assert [target.against for target in made] == [(1, 2, 5), (2, 5), (1, 5)]
    assert [target.against for target in make_targets(images, 6, [0], None, 4)] == [(4,)]


def test_opponents_by_name_serve_the_rows_they_name(images):
    made = make_targets(images, 6, [0, 1], {"pets": [2, 3]}, {"pets": [1, 0], "bee": 4})
    assert [target.against for target in made] == [(), (4,), (0, 1)]


REFUSED = [
    ({"groups": {"pets": []}}, SettingError, "group 'pets' must list class indices, at least one"),
    ({"groups": {"pets": ["cat"]}}, SettingError, "must list class indices"),
    ({"groups": {"pets": [True]}}, SettingError, "must list class indices"),
    ({"groups": {"pets": [2, 2]}}, SettingError, "names a class twice"),
    ({"groups": {"pets": [2, 6]}}, SettingError, "group 'pets' names class 6, the network has classes 0 to 5"),
    ({"groups": {"pets": [-1]}}, SettingError, "names class -1"),
    ({"groups": {"pets": [2, 4]}}, DataError, "no images of class 4"),
    ({"groups": {"cat": [2, 3]}, "classes": [2]}, SettingError, "two rows would be named 'cat'"),
    ({"classes": []}, SettingError, "at least one class"),
    ({"classes": [1, 1]}, SettingError, "each once"),
    ({"classes": [4]}, DataError, "no images of class 4; there are images of 5 classes"),
    ({"against": []}, SettingError, "against must list class indices"),
    ({"against": [9]}, SettingError, "against names class 9"),
    ({"classes": [1], "against": [1]}, SettingError, r"'bee' cannot be searched against itself \(class 1\)"),
    ({"classes": [1], "against": {"bee": [0, 1]}}, SettingError, "'bee' cannot be searched against itself"),
    ({"classes": [1], "against": {"bee": []}}, SettingError, r"against \(for 'bee'\) must list"),
    ({"outputs": 5}, DataError, "labels go up to 5, the network has 5 class scores"),
]


@pytest.mark.parametrize(("given_", "error", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_searched_is_refused(images, given_, error, message):
    asked = {"outputs": 6, "classes": None, "groups": None, "against": None, **given_}
    with pytest.raises(error, match=message):
        make_targets(images, **asked)


def test_one_class_score_is_refused():
    only = LabelledImages(torch.zeros(2, 1), np.array([0, 0]))
    with pytest.raises(DataError, match="nothing to tell a class from"):
        make_targets(only, 1, None, None, None)


# --- searches


class Merged(nn.Module):
    """A network whose classes 0 and 1 are one: class 0."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        scores = self.network(images)
        return torch.cat([scores[:, :2].logsumexp(1, keepdim=True), scores[:, 2:]], 1)


class Chosen(Merged):
    """A network of two of its classes."""

    def forward(self, images):
        return self.network(images)[:, [0, 2]]


def same_start(monkeypatch, *targets):
    """The rows of these targets draw the same random numbers."""
    key = Target.key.fget
    monkeypatch.setattr(Target, "key", property(lambda self: 7 if self.members in targets else key(self)))


@pytest.mark.parametrize("name", ["released", "variational", "variational-noise", "literal", "concept-path"])
def test_a_group_is_searched_like_one_class_of_a_network_that_has_it_as_one(monkeypatch, name):
    network, data = small_problem()
    picked, labels = data.tensors
    kept = (labels < 2).nonzero().flatten()  # labels of the group's images alone: their order is that of a class
    both = TensorDataset(picked[kept], labels[kept])
    as_one = TensorDataset(picked[kept], torch.zeros(len(kept), dtype=torch.int64))
    same_start(monkeypatch, (0, 1), (0,))
    settings = {**QUICK, "objective": name}
    if name == "concept-path":
        settings["rate"] = 1.0
    group = disentangle(network, both, groups={"both": [0, 1]}, **settings)
    single = disentangle(Merged(network), as_one, classes=[0], **settings)
    for ours, theirs in zip(group.scores.values(), single.scores.values(), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)


def test_opponents_are_searched_like_a_network_that_has_no_other_classes():
    network, data = small_problem()
    picked, labels = data.tensors
    kept = (labels == 0).nonzero().flatten()
    zeros = TensorDataset(picked[kept], labels[kept])
    against = disentangle(network, zeros, classes=[0], against=[2], **QUICK)
    alone = disentangle(Chosen(network), zeros, classes=[0], **QUICK)
    for ours, theirs in zip(against.scores.values(), alone.scores.values(), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    among_all = disentangle(network, zeros, classes=[0], **QUICK)
    assert any((among_all.scores[name] != against.scores[name]).any() for name in against.sites.names)


def test_a_group_of_one_class_equals_the_class():
    network, data = small_problem()
    single = disentangle(network, data, classes=[1], **QUICK)
    group = disentangle(network, data, groups={"one": [1]}, **QUICK)
    assert all(torch.equal(single.scores[name], group.scores[name]) for name in single.sites.names)
    assert group.rows.names == ("one",)


def test_rows_beside_a_group_are_what_they_are_alone():
    network, data = small_problem()
    together = disentangle(network, data, classes=[2], groups={"low": [0, 1]}, **QUICK)
    alone = disentangle(network, data, classes=[2], **QUICK)
    for name in alone.sites.names:
        assert torch.allclose(together.scores[name][0], alone.scores[name][0], rtol=0, atol=1e-12)
    assert together.rows.names == ("2", "low")
    assert together.manifest["settings"]["groups"] == {"low": [0, 1]}
    assert together.manifest["settings"]["classes"] == [0, 1, 2]


def test_an_image_predicted_as_another_member_counts_for_the_group():
    prepared, images, network = prepared_small()
    with torch.no_grad():
        predicted = network(images.images(np.arange(40))).argmax(1).numpy()
    confused = np.flatnonzero((images.labels == 1) & (predicted == 0))
    assert len(confused) > 0
    objective = objective_named("released", 0.3)
    for target, counting in ((Target((0, 1)), len(confused)), (Target((1,)), 0), (Target((1,), (3,)), len(confused))):
        plan = Plan((target,), passes=1, batch=4)
        solver = Solver(prepared.tapped, objective, images, plan, prepared.device, prepared.dtype)
        _, counted = solver._members([(0, confused)], reference_of(prepared, images, confused))
        assert int(counted.sum()) == counting


def test_labels_of_a_group_may_be_those_of_any_member():
    images = labelled(small_problem()[1])
    plan = Plan((Target((0, 2), name="ends"),))
    assert sorted(plan.images(images)[0]) == np.flatnonzero(np.isin(images.labels, (0, 2))).tolist()
    limited = Plan((Target((0, 2)),), limit_per_class=3).images(images)[0]
    assert sorted(images.labels[limited]) == [0, 0, 0, 2, 2, 2]
