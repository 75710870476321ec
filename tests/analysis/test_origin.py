"""A table over images that the search saw says so."""

import numpy as np
import pytest
import torch

from tests.analysis.by_hand import ReadOut, as_searched, keeping, pictures
from unweave.analysis.accuracy import accuracy
from unweave.analysis.origin import origin
from unweave.data.labelled import labelled
from unweave.paths import Paths
from unweave.search.attribute import attribute
from unweave.search.disentangle import disentangle

DATA = pictures([0, 1, 2, 3] * 5)


@pytest.fixture
def seen():
    """Paths of a search over all images of classes 0 and 1 in `DATA`."""
    network, images = ReadOut(), labelled(DATA)
    positions = np.union1d(images.of_class(0), images.of_class(1))
    return as_searched(keeping(network, [[0], [1]]), images, positions, classes=[0, 1], limit_per_class=None)


def test_images_of_the_search_are_said_to_be_seen(seen):
    assert origin(seen, labelled(DATA), np.array([0, 4, 8, 1, 5])) == "5 images THAT THE SEARCH SAW"


def test_order_of_the_images_does_not_matter(seen):
    assert origin(seen, labelled(DATA), np.array([9, 0, 5, 4])) == "4 images THAT THE SEARCH SAW"


def test_some_images_of_the_search_are_counted(seen):
    assert origin(seen, labelled(DATA), np.array([0, 1, 2, 3])) == "4 images, 2 of them images THAT THE SEARCH SAW"


def test_images_that_the_search_left_out_are_not_said_to_be_seen(seen):
    assert origin(seen, labelled(DATA), np.array([2, 3, 6])) == "3 images"


def test_images_of_another_data_set_are_not_said_to_be_seen(seen):
    images, labels = DATA.tensors
    for other in (torch.utils.data.TensorDataset(images + 1, labels), pictures([0, 1] * 5), pictures([2, 3])):
        found = labelled(other)
        assert origin(seen, found, np.arange(len(found))) == f"{len(found)} images"


def test_paths_without_a_search_saw_nothing():
    network = ReadOut()
    paths = keeping(network, [[0]])
    assert origin(paths, labelled(DATA), np.arange(4)) == "4 images"
    bare = Paths(paths.masks, paths.rows, paths.sites, {})
    assert origin(bare, labelled(DATA), np.arange(4)) == "4 images"


@pytest.fixture
def searched(plain, noise, tmp_path):
    """Paths of a real search over two images a class, once in memory and once from their file."""
    paths = disentangle(plain, noise, beta=0.1, passes=1, limit_per_class=2, seed=3)
    return plain, noise, [paths, Paths.load(paths.save(tmp_path / "paths.safetensors"))]


@pytest.mark.filterwarnings("ignore:the network classifies no search image")
def test_accuracy_on_the_images_of_a_real_search_says_so(searched):
    network, data, both = searched
    for paths in both:
        assert accuracy(network, paths, data).title.endswith(", 24 images, 6 of them images THAT THE SEARCH SAW")
        assert accuracy(network, paths[1], data).title.endswith(", 8 images, 2 of them images THAT THE SEARCH SAW")
        fresh = torch.utils.data.Subset(data, range(12))
        assert accuracy(network, paths, fresh).title.endswith(", 12 images")


@pytest.mark.filterwarnings("ignore:the network classifies no search image")
def test_images_of_groups_are_known_to_have_been_searched(plain, noise, tmp_path):
    chosen = {"groups": {"ends": [0, 2]}, "against": 1, "limit_per_class": 2, "seed": 3}
    paths = disentangle(plain, noise, objective="released", beta=0.1, passes=1, **chosen)
    for found in (paths, Paths.load(paths.save(tmp_path / "paths.safetensors"))):
        title = accuracy(plain, found, noise).title
        assert ", 16 images, 4 of them images THAT THE SEARCH SAW" in title


@pytest.mark.parametrize(("against", "seen"), [(None, 6), (1, 4)])
def test_images_of_other_classes_that_an_objective_looks_at_were_seen_too(plain, noise, against, seen):
    few = {"passes": 1, "limit_per_class": 2, "seed": 3, "classes": [0], "against": against}
    paths = disentangle(plain, noise, objective="selective", **few)
    assert origin(paths, labelled(noise), np.arange(24)) == f"24 images, {seen} of them images THAT THE SEARCH SAW"


@pytest.mark.parametrize(("over", "seen"), [("own", 2), ("all", 6)])
def test_images_of_an_attribution_were_seen(plain, noise, over, seen):
    paths = attribute(plain, noise, steps=1, over=over, limit_per_class=2, seed=3, classes=[0])
    assert origin(paths, labelled(noise), np.arange(24)) == f"24 images, {seen} of them images THAT THE SEARCH SAW"


@pytest.mark.parametrize("manifest", [{"settings": 3}, {"settings": {"classes": 1}}, {"data": []}, {"seed": "x"}])
def test_a_manifest_of_another_form_saw_nothing(manifest):
    paths = keeping(ReadOut(), [[0]])
    foreign = Paths(paths.masks, paths.rows, paths.sites, {"data": {"search": {"digest": "0"}}, **manifest})
    assert origin(foreign, labelled(DATA), np.arange(4)) == "4 images"
