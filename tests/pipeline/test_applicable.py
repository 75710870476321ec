"""Which measures are taken where none is named."""

import pytest
import torch

from tests.analysis.by_hand import ReadOut, Torn, grouped, keeping, pictures
from tests.tiny import TinyPerceptron, labelled_noise
from unweave.data.labelled import labelled
from unweave.network.sites import find_sites
from unweave.paths import Paths
from unweave.pipeline.applicable import applicable, with_enough_images
from unweave.pipeline.subject import Subject

ON_MOSAICS = {"hit_rate", "feature_maps"}
EVERY = pictures([0, 1, 2, 3] * 3)


@pytest.fixture(scope="module")
def network():
    return ReadOut()


@pytest.fixture(scope="module")
def paths(network):
    return keeping(network, [[0], [1], [2], [3]])


def taken(paths, network, data, **settings):
    subject = Subject(paths, network, labelled(data), **settings)
    return set(with_enough_images(applicable(paths, images=True), subject))


def test_mosaics_of_four_classes_are_looked_at(paths, network):
    assert taken(paths, network, EVERY) >= ON_MOSAICS | {"misjudgements"}


def test_without_mosaics_that_can_be_made_and_read_everything_else_is_measured(paths, network):
    whole = taken(paths, network, EVERY)
    assert taken(paths, network, pictures([0, 1, 2])) == whole - ON_MOSAICS
    assert taken(paths, network, Torn(EVERY, {0, 4, 8})) == whole - ON_MOSAICS
    sharing = grouped(network, [[0], [1], [2], [3]], [(0, 1), (1, 2), (2, 3), (0, 3)])
    assert taken(sharing, network, EVERY) == whole - ON_MOSAICS - {"misjudgements"}
    perceptron, data = TinyPerceptron(), labelled_noise(24, classes=4)
    example = data.tensors[0][:1]
    masks = {site.name: torch.ones(4, site.channels, dtype=torch.bool) for site in find_sites(perceptron, example)}
    flat = Paths.from_masks(masks, perceptron, example, classes=range(4))
    assert taken(flat, perceptron, data) == whole - ON_MOSAICS


def test_without_images_no_measure_looks_at_any(paths):
    names = applicable(paths, images=False)
    assert with_enough_images(names, Subject(paths, None, None)) == names == ["usage", "similarity", "clusters"]
