"""Pictures are read once a search, and the search ends with the same scores as without remembering them."""

import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from tests.tiny import TinyPlain
from unweave.data.cifar import CifarImages
from unweave.data.labelled import labelled
from unweave.data.preprocessing import Preprocessing
from unweave.search.cost import estimate_cost
from unweave.search.objectives import objective_named
from unweave.search.plan import make_plan
from unweave.search.preparation import prepare
from unweave.search.search import Search
from unweave.search.settings import Settings

CLASSES, EACH = 3, 5
PLAN = {"seed": 0, "passes": 3, "rate": 0.1, "batch": 4, "augment": "none", "precision": "float32"}
OPEN = {"limit_per_class": None, "rows_per_batch": None, "keep_activations": False}


class Counted(CifarImages):
    """Pictures that count how often each is opened."""

    def __init__(self):
        numbers = np.random.default_rng(0).integers(0, 256, (CLASSES * EACH, 8, 8, 3), dtype=np.uint8)
        super().__init__(numbers, np.repeat(np.arange(CLASSES), EACH), list("abc"), Preprocessing("imagenet"))
        self.opened = Counter()

    def picture(self, position):
        self.opened[position] += 1
        return super().picture(position)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return TinyPlain().eval()


def search(network, data, passes=3, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few steps
        return Search(
            network, labelled(data), "block", Settings("released", 0.1, passes=passes, batch=4, **settings)
        ).run()


@pytest.mark.parametrize(
    "settings", [{"keep_activations": False}, {"augment": "mild"}, {"classes_per_shard": 1, "keep_activations": False}]
)
def test_later_passes_open_no_picture_again(network, settings):
    one, three = Counted(), Counted()
    search(network, one, passes=1, **settings)
    search(network, three, passes=3, **settings)
    assert len(three.opened) == CLASSES * EACH
    assert three.opened == one.opened


def test_scores_are_those_of_the_same_numbers_in_memory(network):
    data = Counted()
    numbers = TensorDataset(torch.stack([image for image, _ in data]), torch.from_numpy(data.targets))
    found, expected = (search(network, d, keep_activations=False) for d in (data, numbers))
    assert all(torch.equal(found.scores[name], expected.scores[name]) for name in expected.sites.names)


def test_rows_whose_pictures_do_not_fit_together_are_searched_in_shards(network, monkeypatch):
    images = labelled(Counted())
    prepared = prepare(network, images, "block", None, None)
    one = 3 * 8 * 8
    monkeypatch.setattr("unweave.search.plan.fastest_rows_per_batch", lambda *_: 1)
    for room, expected in ((2 * EACH * one, 2), (EACH * one - 1, None), (CLASSES * EACH * one, None)):
        monkeypatch.setattr("unweave.search.plan.available_memory", lambda _, room=room: room)
        assert make_plan(prepared, images, None, **PLAN, **OPEN).classes_per_shard == expected
    in_memory = labelled(TensorDataset(torch.zeros(6, 3, 8, 8), torch.arange(6) % 3))
    monkeypatch.setattr("unweave.search.plan.available_memory", lambda _: 2 * EACH * one)
    assert make_plan(prepared, in_memory, None, **PLAN, **OPEN).classes_per_shard is None


def test_what_is_remembered_is_part_of_the_memory_that_a_search_is_said_to_take(network):
    images = labelled(Counted())
    prepared = prepare(network, images, "block", None, None)
    plan = make_plan(prepared, images, None, **PLAN, **OPEN)
    cost = estimate_cost(prepared, images, plan, objective_named("released", 0.1), None, 0, 1)
    scores = 3 * CLASSES * prepared.sites.channels * 4
    assert cost.memory == scores + CLASSES * EACH * 3 * 8 * 8
