"""The elbow's searches, with searches whose results are given."""

import numpy as np
import pytest

from unweave.errors import DataError, SettingError
from unweave.search.plan import Plan
from unweave.search.settings import Settings
from unweave.search.sweep import sweep_betas, sweep_plan
from unweave.search.targets import Target
from unweave.search.tasks import Outcome

BETAS = (0.01, 0.1, 1.0, 10.0)


class Given:
    """Runs no search: with beta b every row has error b and size 1 / b, so that the elbow is near 0.3."""

    def __init__(self, rows_that_count=None):
        self.rows_that_count, self.calls = rows_that_count, []

    def __call__(self, tasks, title):
        self.calls.append([task.name for task in tasks])
        assert all(task.measured for task in tasks)
        return [self.outcome(task) for task in tasks]

    def outcome(self, task):
        rows = len(task.plan.targets) if self.rows_that_count is None else self.rows_that_count
        beta = task.objective.beta
        measured = np.tile([beta, 1 / beta], (rows, 1))
        return Outcome([], np.zeros(len(task.plan.targets)), measured, {})


def plan_of(classes, **settings):
    return Plan.of_classes(range(classes), **settings)


def test_the_sweep_s_plan_has_the_first_rows_and_fewer_images():
    small = sweep_plan(plan_of(80, rows_per_batch=10, passes=7), Settings(elbow_limit_per_class=30))
    assert [target.members[0] for target in small.targets] == [0, 1, 2, 3]
    assert (small.limit_per_class, small.rows_per_batch, small.passes) == (30, 4, 7)


def test_the_smaller_of_two_limits_holds():
    settings = Settings(elbow_limit_per_class=30)
    assert sweep_plan(plan_of(5, limit_per_class=10), settings).limit_per_class == 10
    assert sweep_plan(plan_of(5, limit_per_class=90), settings).limit_per_class == 30


def test_fewer_than_three_rows_are_refused():
    with pytest.raises(SettingError, match="at least three classes, found 2; give beta a number"):
        sweep_plan(plan_of(2), Settings())


def test_every_beta_is_searched_and_then_those_between_the_best_and_its_neighbours():
    run = Given()
    sweep = sweep_betas(plan_of(5, rows_per_batch=3), Settings(betas=BETAS), run)
    assert run.calls[0] == [f"elbow-{beta!r}-0000" for beta in BETAS]
    assert len(run.calls) == 3
    # scaled errors b / 10, sizes 1 / (100 b): the point farthest below the line is at sqrt(10 / 100), between 0.1 and 1
    assert sweep.chosen == pytest.approx(0.316, rel=0.2)
    assert set(BETAS) < set(sweep.betas)
    assert list(sweep.reconstruction) == pytest.approx(sweep.betas)
    assert list(sweep.size) == pytest.approx([1 / beta for beta in sweep.betas])
    assert sweep.classes == (0, 1, 2)


def test_a_beta_given_twice_is_searched_once():
    run = Given()
    sweep_betas(plan_of(3, rows_per_batch=3), Settings(betas=(*BETAS, 0.1)), run)
    assert len(run.calls[0]) == len(BETAS)


def test_shards_are_measured_together():
    run = Given()
    sweep = sweep_betas(plan_of(4, rows_per_batch=4, classes_per_shard=2), Settings(betas=BETAS), run)
    assert run.calls[0][:2] == ["elbow-0.01-0000", "elbow-0.01-0001"]
    assert list(sweep.reconstruction) == pytest.approx(sweep.betas)


def test_groups_can_be_swept():
    plan = Plan((Target((0,)), Target((1,)), Target((2, 3), name="pair")), rows_per_batch=3)
    assert sweep_betas(plan, Settings(betas=BETAS), Given()).classes[2] == Target((2, 3)).key


def test_no_image_that_counts_is_refused():
    with pytest.raises(DataError, match="no image of the elbow's classes correctly; give beta a number"):
        sweep_betas(plan_of(3, rows_per_batch=3), Settings(betas=BETAS), Given(rows_that_count=0))
