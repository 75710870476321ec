"""How long measuring will take."""

import pytest
import torch

from tests.tiny import TinyPlain, labelled_noise
from unweave.data.labelled import labelled
from unweave.network.sites import find_sites
from unweave.paths import Paths
from unweave.pipeline.measuring_cost import MeasuringCost, forward_passes, measuring_cost
from unweave.pipeline.subject import Subject

NOISE = labelled_noise(24)
IMAGES = labelled(NOISE)


@pytest.fixture
def paths(plain):
    """Two classes with all channels."""
    example = NOISE.tensors[0][:2]
    masks = {site.name: torch.ones(2, site.channels, dtype=torch.bool) for site in find_sites(plain, example)}
    return Paths.from_masks(masks, plain, example, classes=[0, 1])


def test_accuracy_runs_each_row_s_own_images_twice(paths):
    own = sum(int((IMAGES.labels == index).sum()) for index in (0, 1))
    assert forward_passes(["accuracy"], paths, IMAGES) == 2 * own


def test_specificity_runs_all_images_whole_and_through_every_row_and_its_three_controls(paths):
    assert forward_passes(["specificity", "usage"], paths, IMAGES) == 24 * (1 + 2 * 4)


def test_measures_that_need_no_images_take_no_passes(paths):
    assert forward_passes(["usage", "similarity"], paths, IMAGES) == 0
    assert measuring_cost(["usage"], Subject(paths, None, None)) == MeasuringCost(2, 0, 0, 0.0)


def test_time_grows_with_the_time_of_an_image(paths, monkeypatch):
    # twelve images that warm up; the others are read in 3 seconds and run in 6
    ticks = iter([0.0, 90.0, 190.0, 200.0, 203.0, 209.0])
    monkeypatch.setattr("unweave.pipeline.measuring_cost.time.perf_counter", lambda: next(ticks))
    subject = Subject(paths, TinyPlain().randomised(), IMAGES)
    found = measuring_cost(["specificity"], subject)
    assert (found.rows, found.images, found.forward_passes) == (2, 24, 24 * 9)
    assert found.seconds == pytest.approx(24 * 0.25 + 24 * 9 * 0.5)
    assert str(found) == "2 rows on 24 images: about 2 min"


def test_a_network_in_training_mode_is_not_trained_by_the_estimate(paths):
    network = TinyPlain().randomised().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    measuring_cost(["specificity"], Subject(paths, network, IMAGES))
    assert network.training
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())
