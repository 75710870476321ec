"""Plans: what a search is told, checked before it starts."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.search.problems import prepared_small
from unweave.data.labelled import labelled
from unweave.errors import DataError, SettingError
from unweave.search.objectives.released import Released
from unweave.search.plan import Plan, make_plan
from unweave.search.preparation import prepare
from unweave.search.reference import bytes_per_image
from unweave.search.solver import Solver

DEFAULTS = {
    "seed": 0,
    "passes": 2,
    "rate": 0.1,
    "batch": 4,
    "augment": "none",
    "precision": "float32",
    "limit_per_class": None,
    "rows_per_batch": None,
    "keep_activations": None,
}


@pytest.fixture(scope="module")
def small():
    return prepared_small(torch.float32)[:2]


def planned(small, classes=None, **settings):
    return make_plan(*small, classes, **{**DEFAULTS, **settings})


BAD_SETTINGS = [
    ("passes", 0, "passes must be a whole number from 1, found 0"),
    ("passes", 2.5, "passes must be a whole number from 1, found 2.5"),
    ("passes", "3", "passes must be a whole number from 1, found '3'"),
    ("batch", 0, "batch must be a whole number from 1, found 0"),
    ("batch", True, "batch must be a whole number from 1, found True"),
    ("rows_per_batch", 0, "rows_per_batch must be a whole number from 1, found 0"),
    ("rows_per_batch", -2, "rows_per_batch must be a whole number from 1, found -2"),
    ("limit_per_class", 0, "limit_per_class must be a whole number from 1, found 0"),
    ("rate", 0, "rate must be above 0, found 0"),
    ("rate", -0.1, "rate must be above 0, found -0.1"),
    ("rate", math.nan, "rate must be above 0, found nan"),
    ("seed", -1, "seed must be a whole number from 0, found -1"),
    ("seed", 0.5, "seed must be a whole number from 0, found 0.5"),
    ("augment", "flip", "no augmentation 'flip'; there are none, published"),
    ("precision", "float16", "no precision 'float16'; there are float32, bfloat16"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_SETTINGS)
def test_setting_out_of_range_is_refused(small, name, value, message):
    with pytest.raises(SettingError, match=message):
        planned(small, **{name: value})


def test_keeping_activations_of_augmented_images_is_refused(small):
    with pytest.raises(SettingError, match="keep_activations needs augment='none'"):
        planned(small, augment="published", keep_activations=True)


def test_mixed_precision_of_double_network_is_refused():
    with pytest.raises(SettingError, match="bfloat16 needs a float32 network"):
        planned(prepared_small()[:2], precision="bfloat16")


def test_augmentation_of_vectors_is_refused():
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    images = labelled(TensorDataset(torch.randn(4, 6), torch.tensor([0, 1, 0, 1])))
    prepared = prepare(network, images, "filter", None, None)
    with pytest.raises(SettingError, match=r"augmentation needs images \[channels, height, width\], found \(6,\)"):
        planned((prepared, images), augment="published")


def test_unknown_class_is_refused(small):
    with pytest.raises(DataError, match="no images of class 7, 9; there are images of 4 classes"):
        planned(small, [9, 0, 7])


@pytest.mark.parametrize("classes", [[], [1, 1]])
def test_empty_or_repeated_classes_are_refused(small, classes):
    with pytest.raises(SettingError, match="classes must name at least one class, each once"):
        planned(small, classes)


def test_labels_beyond_outputs_are_refused(small):
    prepared, images = small
    beyond = labelled(images.dataset, np.where(images.labels == 3, 4, images.labels))
    with pytest.raises(DataError, match=r"labels go up to 4, the network has 4 class scores \(0 to 3\)"):
        planned((prepared, beyond))


@pytest.mark.parametrize("classes", [[2, 0], (0, 2), np.array([2, 0]), torch.tensor([2, 0])])
def test_classes_ascend_in_the_plan(small, classes):
    plan = planned(small, classes)
    assert [t.members for t in plan.targets] == [(0,), (2,)]
    assert all(type(t.members[0]) is int for t in plan.targets)


def test_all_classes_with_images_are_the_default(small):
    assert [t.key for t in planned(small).targets] == [0, 1, 2, 3]


def test_rows_per_batch_does_not_exceed_classes(small):
    assert planned(small).rows_per_batch == 4
    assert planned(small, rows_per_batch=2).rows_per_batch == 2
    assert planned(small, [0, 1], rows_per_batch=50).rows_per_batch == 2


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, True),
        ({"keep_activations": False}, False),
        ({"passes": 1}, False),
        ({"passes": 1, "keep_activations": True}, True),
        ({"augment": "published"}, False),
    ],
)
def test_activations_are_kept_where_it_helps(small, settings, kept):
    plan = planned(small, **settings)
    assert plan.kept is kept
    assert (plan.store(small[1]) is not None) is kept


def test_activations_are_not_kept_without_memory(small, monkeypatch):
    monkeypatch.setattr("unweave.search.plan.available_memory", lambda device: 1000)
    assert not planned(small).kept


def test_shards_split_classes_in_order():
    plan = Plan.of_classes((1, 4, 5, 8, 9), rows_per_batch=3, classes_per_shard=2)
    assert [[t.key for t in shard.targets] for shard in plan.shards()] == [[1, 4], [5, 8], [9]]
    assert [shard.rows_per_batch for shard in plan.shards()] == [2, 2, 1]
    assert [len(shard.targets) for shard in Plan.of_classes((1, 4)).shards()] == [2]


@pytest.mark.parametrize(
    # 9, 15, 11 and 5 images in batches of 4: 3, 4, 3, 2 batches a class alone
    ("settings", "batches"),
    [
        ({"rows_per_batch": 1}, 12),
        ({"rows_per_batch": 4}, 4),
        ({"rows_per_batch": 2}, 7),
        ({"rows_per_batch": 2, "classes_per_shard": 3}, 4 + 3 + 2),
    ],
)
def test_batches_per_pass_are_counted(small, settings, batches):
    prepared, images = small
    plan = Plan.of_classes((0, 1, 2, 3), batch=4, **settings)
    assert plan.batches_per_pass(images) == batches
    solvers = [
        Solver(prepared.tapped, Released(0.1), images, shard, prepared.device, prepared.dtype)
        for shard in plan.shards()
    ]
    assert sum(len(solver.batches(0)) for solver in solvers) == batches


def test_classes_are_sharded_where_memory_is_short(small, monkeypatch):
    prepared = small[0]
    one = bytes_per_image(prepared.sites, prepared.sites.image_shape, 4, 4)
    monkeypatch.setattr("unweave.search.plan.available_memory", lambda device: 2 * 15 * one)
    plan = planned(small)
    assert (plan.kept, plan.classes_per_shard) == (True, 2)


def test_limit_draws_by_seed_and_class(small):
    images = small[1]
    drawn = {seed: Plan.of_classes((0, 1, 2), seed=seed, limit_per_class=4).images(images) for seed in (0, 1)}
    assert [len(positions) for positions in drawn[0]] == [4, 4, 4]
    assert all((images.labels[positions] == c).all() for c, positions in enumerate(drawn[0]))
    alone = Plan.of_classes((1,), limit_per_class=4).images(images)
    assert np.array_equal(alone[0], drawn[0][1])
    assert any(not np.array_equal(drawn[0][c], drawn[1][c]) for c in (0, 1, 2))


def test_limit_above_the_count_takes_all(small):
    assert len(Plan.of_classes((0,), limit_per_class=1000).images(small[1])[0]) == 9
