"""What a search will take."""

from dataclasses import replace

import pytest

from tests.search.problems import prepared_small
from unweave.search.cost import Cost, estimate_cost
from unweave.search.objectives import objective_named
from unweave.search.plan import Plan, bytes_kept_per_image

CHANNELS = 4 + 4 + 5
IMAGES = 9 + 15 + 11  # of classes 0, 1, 2


@pytest.fixture(scope="module")
def problem():
    return prepared_small()


def cost_of(problem, plan, sweep=None, betas=0, workers=1):
    prepared, images, _ = problem
    return estimate_cost(prepared, images, plan, objective_named("released", 0.3), sweep, betas, workers)


@pytest.fixture
def plan():
    return Plan.of_classes([0, 1, 2], passes=4, batch=4, rows_per_batch=3)


def test_images_visits_and_bytes_are_those_counted_by_hand(problem, plan):
    cost = cost_of(problem, plan)
    assert (cost.rows, cost.passes, cost.images, cost.visits) == (3, 4, IMAGES, 4 * IMAGES)
    scores = 3 * CHANNELS * 4
    assert cost.memory == 3 * scores
    assert cost.disk == 2 * scores + 3 * CHANNELS // 8
    assert cost.seconds > 0


def test_kept_activations_are_memory_and_save_time(problem, plan):
    kept = cost_of(problem, replace(plan, kept=True))
    assert kept.memory - cost_of(problem, plan).memory == IMAGES * bytes_kept_per_image(problem[0])
    # image, three sites and four class scores of eight bytes each
    assert bytes_kept_per_image(problem[0]) == 8 * (3 * 36 + 4 * 36 + 4 * 36 + 5 * 9 + 4)


def test_shards_keep_one_at_a_time_and_workers_one_each(problem, plan):
    sharded = replace(plan, kept=True, classes_per_shard=1, rows_per_batch=1)
    one, two = (cost_of(problem, sharded, workers=workers) for workers in (1, 2))
    per_image = bytes_kept_per_image(problem[0])
    assert one.memory == 3 * 3 * CHANNELS * 4 + 9 * per_image
    assert two.memory - one.memory == 9 * per_image


def test_the_elbow_s_visits_are_those_of_every_beta_and_two_a_refinement(problem, plan):
    sweep = replace(plan, limit_per_class=5)
    cost = cost_of(problem, plan, sweep, betas=8)
    assert cost.visits == 4 * IMAGES + (8 + 2 * 2) * 4 * 15
    assert cost.images == IMAGES


def test_limits_are_kept(problem, plan):
    assert cost_of(problem, replace(plan, limit_per_class=2)).images == 6


def test_a_cost_is_plain_values(problem, plan):
    cost = cost_of(problem, plan)
    assert Cost(**cost.as_dict()) == cost


@pytest.mark.parametrize(
    ("seconds", "memory", "shown"),
    [
        (0.1, 12, "about 1 s, 12 B memory"),
        (89, 1_500, "about 89 s, 1.5 kB memory"),
        (600, 25_000_000, "about 10 min, 25 MB memory"),
        (7200, 3_000_000_000_000, "about 2.0 h, 3000 GB memory"),
    ],
)
def test_a_cost_is_read_with_its_units(seconds, memory, shown):
    text = str(Cost(images=10, rows=2, passes=3, visits=30, seconds=seconds, memory=memory, disk=999))
    assert text.startswith("2 rows, 10 images x 3 passes: about ")
    assert shown in text
    assert text.endswith("999 B disk")


def test_the_elbow_s_visits_are_said_where_there_are_some():
    text = str(Cost(images=10, rows=2, passes=3, visits=75, seconds=1, memory=1, disk=1))
    assert text.startswith("2 rows, 10 images x 3 passes, 45 visits more for the elbow: about 1 s")


def test_of_a_finished_search_nothing_is_left():
    assert str(Cost.nothing()) == "nothing is left to do"
