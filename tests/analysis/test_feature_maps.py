"""What is kept of a mosaic, on a network whose channels are its classes."""

import numpy as np
import pytest
import torch

from tests.analysis.by_hand import SITE, ReadOut, Torn, keeping, pictures
from unweave.analysis.feature_maps import feature_maps
from unweave.analysis.hit_rate import hit_rate
from unweave.analysis.mosaics import QUADRANTS
from unweave.errors import DataError, SettingError

EVERY = pictures([0, 1, 2, 3] * 3)
NAMES = ("a", "b", "c", "<d>")


@pytest.fixture(scope="module")
def network():
    return ReadOut()


def test_maps_are_those_of_the_mosaics_that_the_hit_rate_counts(network):
    # Rows 0 and 1 see more than their own class, rows 2 and 3 nothing.
    paths = keeping(network, [[0, 1], [0, 1, 2, 3], [], []], names=NAMES)
    result = feature_maps(network, paths, EVERY, chosen=range(6), share=0.25)
    whole = hit_rate(network, paths, EVERY, mosaics=6, share=0.25)
    assert len(result) == 6
    assert np.mean(result.hits["sub_architecture"]) == pytest.approx(whole["hit_rate"][0])
    later = feature_maps(network, paths, EVERY, chosen=[4], share=0.25)
    assert np.array_equal(later.kept[0], result.kept[4])
    assert later.hits["mosaic"] == (4, 4, 4, 4)


def test_what_the_whole_network_looks_at_does_not_depend_on_the_class(network):
    paths = keeping(network, [[0], [1], [2], [3]], names=NAMES)
    result = feature_maps(network, paths, EVERY, chosen=[0], share=0.25)
    assert result.kept.shape == (1, 4, 2, 1, 2, 2)
    assert all(np.array_equal(result.kept[0, 0, 1], result.kept[0, q, 1]) for q in range(4))
    # Mosaics of 2 x 2 pixels: each class's sub-architecture looks at its own pixel.
    for quadrant in range(4):
        assert result.kept[0, quadrant, 0, 0].ravel().argmax() == quadrant
    assert result.hits["sub_architecture"] == (1, 1, 1, 1)


def test_hits_are_listed_by_mosaic_quadrant_and_site(network):
    paths = keeping(network, [[0], [1], [2], [3]], names=NAMES)
    result = feature_maps(network, paths, EVERY)
    assert result.hits["mosaic"] == (0,) * 4 + (1,) * 4
    assert result.hits["quadrant"] == QUADRANTS * 2
    assert result.hits["name"] == result.classes[0] + result.classes[1]
    assert set(result.hits["name"]) <= set(NAMES)
    assert result.hits["site"] == (SITE,) * 8
    assert len(result.to_frame()) == 8
    assert result.mosaics.shape == (2, 4, 2, 2)
    assert torch.isfinite(result.mosaics).all()


@pytest.mark.parametrize("chosen", [(0, 3), range(0, 4, 3), np.array([0, 3]), torch.tensor([0, 3]), [np.int64(0), 3]])
def test_mosaics_are_chosen_by_any_sequence_of_whole_numbers(network, chosen):
    paths = keeping(network, [[0], [1], [2], [3]], names=NAMES)
    found = feature_maps(network, paths, EVERY, chosen=chosen)
    assert found.hits["mosaic"] == (0,) * 4 + (3,) * 4
    assert {type(number) for number in found.hits["mosaic"]} == {int}
    assert torch.equal(found.mosaics[1], feature_maps(network, paths, EVERY, chosen=[3]).mosaics[0])


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([], r"chosen must list numbers of mosaics, at least one, found \[\]"),
        (np.array([], int), r"chosen must list numbers of mosaics, at least one, found array"),
        (3, "chosen must list numbers of mosaics, at least one, found 3"),
        (np.array(3), "chosen must list numbers of mosaics, at least one, found array"),
        ([0, -1], "each number in chosen must be a whole number from 0, found -1"),
        (np.array([0.5, 1.0]), r"each number in chosen must be a whole number from 0, found 0\.5"),
        (np.array([[0], [1]]), r"each number in chosen must be a whole number from 0, found \[0\]"),
        ("01", "each number in chosen must be a whole number from 0, found '0'"),
        ([True], "each number in chosen must be a whole number from 0, found True"),
    ],
)
def test_what_are_not_numbers_of_mosaics_is_refused(network, chosen, message):
    with pytest.raises(SettingError, match=message):
        feature_maps(network, keeping(network, [[0], [1], [2], [3]]), EVERY, chosen=chosen)


def test_bad_shares_too_few_classes_and_images_that_cannot_be_read_are_refused(network):
    paths = keeping(network, [[0], [1], [2], [3]])
    with pytest.raises(SettingError, match="share must be above 0 and below 1, found 2"):
        feature_maps(network, paths, EVERY, share=2)
    with pytest.raises(DataError, match="3 of the 4 rows have images"):
        feature_maps(network, paths, pictures([0, 1, 2]))
    with pytest.raises(DataError, match="each of the 2 mosaics has an image that cannot be read"):
        feature_maps(network, paths, Torn(EVERY, {0, 4, 8}))
