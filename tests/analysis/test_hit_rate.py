"""Hit rates on a network whose channels are its classes."""

import math

import pytest
import torch
from torch import nn

from tests.analysis.by_hand import SITE, ReadOut, Torn, as_searched, grouped, keeping, pictures
from tests.tiny import labelled_noise
from unweave.analysis.hit_rate import hit_rate
from unweave.data.labelled import labelled
from unweave.errors import DataError, PathsError, SettingError
from unweave.network.sites import find_sites
from unweave.paths import Paths

EVERY = pictures([0, 1, 2, 3] * 3)


def half(network, classes=4):
    """Paths of `classes` classes that keep half of the channels, each other ones."""
    example = torch.zeros(2, 3, 8, 8)
    masks = {site.name: torch.rand(classes, site.channels) > 0.5 for site in find_sites(network, example)}
    return Paths.from_masks(masks, network, example, classes=list(range(classes)))


def test_a_sub_architecture_that_sees_its_class_alone_always_hits():
    network = ReadOut()
    table = hit_rate(network, keeping(network, [[0], [1], [2], [3]]), EVERY, mosaics=20, resize=False)
    assert table["site"] == (SITE,)
    assert table["positions"] == ("4 x 4",)
    assert table["hit_rate"] == (1.0,)
    assert table["standard_error"] == (0.0,)
    assert table.summary == {"mosaics": 20, "best": 1.0, "best_site": SITE}


def test_one_that_sees_another_class_alone_never_hits_where_that_class_is_in_the_mosaic():
    network = ReadOut()
    table = hit_rate(network, keeping(network, [[1], [2], [3], [0]]), EVERY, mosaics=20, resize=False)
    assert table["hit_rate"] == (0.0,)


def test_sub_architectures_without_channels_hit_by_chance():
    network = ReadOut()
    table = hit_rate(network, keeping(network, [[], [], [], []]), EVERY, mosaics=20)
    assert table["hit_rate"] == pytest.approx((0.25,))


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_a_mask_that_does_not_depend_on_the_class_hits_a_quarter(network, share):
    paths = half(network)
    everything = {name: torch.ones_like(mask) for name, mask in paths.masks.items()}
    same = {name: mask[:1].expand(4, -1) for name, mask in paths.masks.items()}
    for masks in (everything, same):
        independent = Paths(masks, paths.rows, paths.sites, paths.manifest)
        # Exactly so in every mosaic: a few of them show it as well as many.
        rates = hit_rate(network, independent, labelled_noise(40, classes=4), mosaics=8, share=share)["hit_rate"]
        assert rates == pytest.approx([0.25] * len(rates), abs=1e-6)


def test_one_mosaic_has_no_standard_error_and_the_seed_decides_which_are_drawn(plain):
    paths = half(plain)
    data = labelled_noise(40, classes=4)
    one = hit_rate(plain, paths, data, mosaics=1)
    assert all(math.isnan(error) for error in one["standard_error"])
    again, other = (hit_rate(plain, paths, data, mosaics=9, seed=seed) for seed in (3, 4))
    assert hit_rate(plain, paths, data, mosaics=9, seed=3).columns == again.columns
    assert again["hit_rate"] != other["hit_rate"]


class Linear(nn.Module):
    """A site with positions, and one without."""

    def __init__(self):
        super().__init__()
        self.conv, self.hidden, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), nn.Linear(5, 4)

    def forward(self, images):
        values = torch.relu(self.conv(images)).mean((2, 3))
        return self.last(torch.relu(self.hidden(values)))


def test_a_site_without_positions_has_no_hit_rate():
    network = Linear().eval()
    example = torch.zeros(2, 3, 8, 8)
    sites = find_sites(network, example, level="filter")
    masks = {site.name: torch.ones(4, site.channels, dtype=torch.bool) for site in sites}
    paths = Paths.from_masks(masks, network, example, classes=[0, 1, 2, 3])
    table = hit_rate(network, paths, labelled_noise(40, classes=4), mosaics=5)
    assert table["positions"] == ("6 x 6", "")
    assert [math.isnan(rate) for rate in table["hit_rate"]] == [False, True]
    assert table.summary["best_site"] == paths.sites.names[0]


def test_rows_without_images_damaged_mosaics_and_searched_images_are_said():
    network = ReadOut()
    paths = keeping(network, [[0], [1], [2], [3]])
    data = Torn(EVERY, {0})
    titled = hit_rate(network, paths, data, mosaics=20).title
    assert "with a damaged image left out" in titled
    seen = labelled(EVERY)
    title = hit_rate(network, as_searched(paths, seen, range(12)), seen, mosaics=50).title
    assert title == "Hit rate on 50 mosaics, 12 images THAT THE SEARCH SAW"
    groups = grouped(network, [[0], [1], [2], [3]], [(0,), (1,), (2,), (3,)], names=["a", "b", "c", "<d>"])
    with pytest.raises(DataError, match="3 of the 4 rows have images"):
        hit_rate(network, groups, pictures([0, 1, 2]), mosaics=5)


def test_of_five_classes_one_without_images_is_named_and_left_out(plain):
    paths = half(plain, classes=5)
    title = hit_rate(plain, paths, labelled_noise(40, classes=4), mosaics=5).title
    assert title.endswith("; 1 of 5 without images left out (4)")


def test_inputs_bad_settings_and_data_that_cannot_be_read_are_refused():
    network = ReadOut()
    paths = keeping(network, [[0], [1], [2], [3]])
    with pytest.raises(SettingError, match="share must be above 0 and below 1, found 1"):
        hit_rate(network, paths, EVERY, share=1)
    with pytest.raises(DataError, match="each of the 3 mosaics has an image that cannot be read"):
        hit_rate(network, paths, Torn(EVERY, {0, 4, 8}), mosaics=3)
    inputs = Paths.from_masks({SITE: torch.ones(2, 4, dtype=torch.bool)}, network, torch.zeros(2, 4, 2, 2))
    with pytest.raises(PathsError, match="the hit rate is about classes"):
        hit_rate(network, inputs, EVERY)
