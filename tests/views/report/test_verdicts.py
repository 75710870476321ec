"""The four lines: each answer at its border, worked out by hand."""

import math

import pytest

from unweave.analysis.stability import Stability
from unweave.tables import Table
from unweave.views.report.verdicts import verdicts


def specificity(own=(0.9, 0.9), false=(0.1, 0.1), random=(0.5, 0.5), whole=0.9, best=None, false_of_whole=0.1):
    """Classes of 96 images; the whole network recognises 90 % and falsely accepts 10 %."""
    balanced = tuple((o + 1 - f) / 2 for o, f in zip(own, false, strict=True))
    columns = {
        "name": ("cat", "dog", "owl")[: len(own)],
        "own": own,
        "false_accepts": false,
        "balanced": balanced,
        "original_own": (whole,) * len(own),
        "original_false_accepts": (false_of_whole,) * len(own),
        "random_balanced": random,
        "random_balanced_highest": random if best is None else best,
        "own_images": tuple(0 if math.isnan(value) else 96 for value in own),
        "other_images": tuple(0 if math.isnan(value) else 96 for value in false),
    }
    summary = {name: sum(values) / len(values) for name, values in columns.items() if name != "name"}
    return Table("", columns, {}, {**summary, "own_reach": 0.04, "false_accepts_reach": 0.2})


THREE = specificity((0.9,) * 3, (0.1,) * 3, (0.5,) * 3)


def stable(told, own=0.88, chance=0.5):
    columns = {
        "site": tuple(map(str, range(len(told)))),
        "told_apart": told,
        "self_similarity": own if isinstance(own, tuple) else (own,) * len(told),
        "expected_by_chance": (chance,) * len(told),
    }
    summary = {"self_similarity": 0.88, "other_similarity": 0.83, "expected_by_chance": chance}
    table = Table("", columns, {}, summary)
    return Stability(table, table)


def answers(table, kept=0.5, stability=None):
    return [one.answer for one in verdicts(table, kept, stability)]


@pytest.mark.parametrize(("own", "answer"), [(0.895, "yes"), (0.99, "yes"), (0.85, "partly"), (0.7, "no")])
def test_own_class_is_compared_with_the_whole_network(own, answer):
    assert answers(specificity(own=(own, own)))[0] == answer


@pytest.mark.parametrize(("own", "answer"), [(0.49, "partly"), (0.51, "yes"), (0.09, "no")])
def test_no_worse_than_a_network_that_recognises_little_is_no_answer(own, answer):
    assert answers(specificity(own=(own, own), whole=0.05))[0] == answer


def test_one_class_of_which_fewer_than_half_are_recognised_makes_a_yes_partly_however_bad_the_network_is():
    table = specificity((1.0, 0.4), whole=0.45)
    line = verdicts(table, 0.5, None)[0]
    assert line.answer == "partly"
    assert line.reason.endswith(" 1 of 2 answer fewer than half of their class's images.")
    assert answers(specificity((1.0, 0.5), whole=0.55))[0] == "yes"


def test_one_row_that_fails_makes_a_yes_partly_and_is_counted():
    one = verdicts(specificity(own=(1.0, 0.79), false=(0.0, 0.21)), 0.5, None)
    assert [line.answer for line in one[:2]] == ["partly", "partly"]
    assert all(line.reason.endswith("1 of 2 are more than 10 points worse than the whole network.") for line in one[:2])
    near = verdicts(specificity(own=(1.0, 0.81), false=(0.0, 0.19)), 0.5, None)
    assert [line.answer for line in near[:2]] == ["yes", "yes"]


@pytest.mark.parametrize(("false", "answer"), [(0.105, "yes"), (0.0, "yes"), (0.15, "partly"), (0.9, "no")])
def test_false_accepts_are_compared_with_the_whole_network(false, answer):
    assert answers(specificity(false=(false, false)))[1] == answer


@pytest.mark.parametrize(("false", "answer"), [(1.0, "no"), (0.91, "no"), (0.6, "partly"), (0.5, "yes")])
def test_no_worse_than_a_network_that_accepts_nearly_everything_is_no_refusal(false, answer):
    assert answers(specificity(false=(false, false), false_of_whole=1.0))[1] == answer


def test_one_class_that_calls_more_than_half_of_the_others_its_own_makes_a_yes_partly():
    line = verdicts(specificity(false=(0.0, 0.6), false_of_whole=0.6), 0.5, None)[1]
    assert line.answer == "partly"
    assert line.reason.endswith(" 1 of 2 call more than half of them theirs.")


@pytest.mark.parametrize(
    ("against", "said"),
    [
        (("dog", "cat"), "10.0 % of their opponents' (no other class was asked about;"),
        (("dog", ""), "10.0 % of the other classes', or of some rows their opponents' ("),
        (("", ""), "10.0 % of the other classes' images"),
    ],
)
def test_whose_images_are_refused_is_said(against, said):
    table = specificity()
    table = Table("", {**table.columns, "against": against}, {}, table.summary)
    assert said in verdicts(table, 0.5, None)[1].reason


@pytest.mark.parametrize(("random", "answer"), [((0.5, 0.5), "yes"), ((0.5, 0.95), "partly"), ((0.95, 0.95), "no")])
def test_masks_beat_random_ones_class_by_class(random, answer):
    assert answers(specificity(random=random))[2] == answer


def test_masks_must_beat_the_best_of_the_random_ones():
    one = verdicts(specificity(random=(0.5, 0.5), best=(0.91, 0.6)), 0.5, None)[2]
    assert one.answer == "partly"
    assert one.reason.startswith("1 of 2 tell their class from the others better than each of the random masks")


def test_means_have_their_interval():
    first, second = (line.reason for line in verdicts(specificity(), 0.5, None)[:2])
    assert "90.0 % of their class's images (86.0 to 94.0 with 95 % confidence)" in first
    assert "10.0 % of the other classes' images theirs (0.0 to 30.0 with 95 % confidence)" in second


@pytest.mark.parametrize("told", [(True, True), (True, False), (False, False)])
def test_whether_classes_differ_is_said_beside_and_is_no_part_of_staying_the_same(told):
    line = verdicts(THREE, 0.5, stable(told))[3]
    assert line.answer == "yes"
    assert f"At {sum(told) or 'none'} of " in line.reason


def test_the_whole_network_stays_the_same_and_says_nothing_of_classes():
    line = verdicts(THREE, 0.5, stable((False, False), own=1.0, chance=1.0))[3]
    assert line.answer == "yes"
    assert line.reason.endswith(
        "At none of them do classes differ clearly more from each other than from themselves: "
        "how similar two classes are says nothing about them."
    )


@pytest.mark.parametrize(
    ("own", "chance", "answer"),
    [(0.76, 0.5, "yes"), (0.74, 0.5, "no"), (0.56, 0.1, "yes"), (0.4, 0.1, "no"), ((0.9, 0.4), 0.5, "partly")],
)
def test_a_class_that_is_told_apart_but_keeps_little_from_seed_to_seed_does_not_stay_the_same(own, chance, answer):
    line = verdicts(THREE, 0.5, stable((True, True), own, chance))[3]
    assert line.answer == answer
    assert f"midway from random masks to the same mask (on average {(1 + chance) / 2:.2f})" in line.reason


def test_without_other_seeds_the_fourth_line_says_what_to_type():
    line = verdicts(THREE, 0.5, None)[3]
    assert line.answer == "not measured"
    assert "--against" in line.reason


@pytest.mark.parametrize("found", [None, stable((False,))])
def test_of_fewer_than_three_classes_it_cannot_be_told_whether_they_stay_the_same(found):
    line = verdicts(specificity(), 0.5, found)[3]
    assert line.answer == "not measured"
    assert "cannot be told of fewer than three" in line.reason
    assert ("to itself under another seed 0.88, to other classes 0.83" in line.reason) == (found is not None)


def test_the_worst_class_is_named():
    table = specificity(own=(0.9, 0.2), false=(0.6, 0.1))
    assert "worst: dog, 20.0 %" in verdicts(table, 0.5, None)[0].reason
    assert "worst: cat, 60.0 %" in verdicts(table, 0.5, None)[1].reason


def test_masks_that_keep_nearly_everything_are_said_to_be_hardly_a_part():
    assert "hardly a part" in verdicts(specificity(), 0.97, None)[2].reason


def test_classes_without_images_are_not_counted():
    line = verdicts(specificity(own=(0.2, math.nan)), 0.5, None)[0]
    assert line.reason.endswith(
        "1 of 1 are more than 10 points worse than the whole network. 1 of 1 answer fewer than half of their class's "
        "images."
    )


def test_classes_without_images_decide_nothing():
    table = specificity(own=(0.9, math.nan), random=(0.5, math.nan))
    assert verdicts(table, 0.5, None)[2].reason.startswith("1 of 1 tell")
    table = specificity(own=(0.9, math.nan), false=(0.1, 0.9))
    summary = {**table.summary, "false_accepts": 0.1}  # as `specificity` has it: of classes with images
    line = verdicts(Table("", table.columns, {}, summary), 0.5, None)[1]
    assert line.answer == "yes"
    assert "0 of 1 are more than 10 points worse" in line.reason
    assert "worst" not in line.reason


def test_the_worst_balanced_class_is_named():
    assert "worst: dog, 40.0 %" in verdicts(specificity(own=(0.9, 0.2), false=(0.1, 0.4)), 0.5, None)[2].reason


def test_where_nothing_can_be_compared_with_random_masks_that_is_not_a_no():
    line = verdicts(specificity(random=(math.nan, math.nan)), 0.5, None)[2]
    assert line.answer == "not measured"
