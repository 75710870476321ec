"""Images that excite a channel most, worked out by hand."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from unweave.analysis.exciting import exciting_images
from unweave.errors import SettingError, SiteError
from unweave.paths import Paths


class Colours(nn.Module):
    """Channel c of the only site is the mean of colour c."""

    def __init__(self):
        super().__init__()
        self.first, self.linear = nn.Conv2d(3, 3, 1, bias=False), nn.Linear(3, 2)
        nn.init.dirac_(self.first.weight)

    def forward(self, images):
        return self.linear(self.first(images).relu().mean((2, 3)))


IMAGES = torch.tensor([[1.0, 0, 3], [5, 0, 2], [2, 0, 1], [4, 9, 0]])[:, :, None, None].expand(4, 3, 2, 2).clone()
DATA = TensorDataset(IMAGES, torch.tensor([0, 1, 0, 1]))


@pytest.fixture
def network():
    return Colours().eval()


@pytest.fixture
def paths(network):
    from unweave.network.sites import find_sites

    sites = find_sites(network, IMAGES[:1])
    masks = {site.name: torch.ones(2, site.channels, dtype=torch.bool) for site in sites}
    return Paths.from_masks(masks, network, IMAGES[:1], classes=[0, 1])


def test_images_come_by_the_mean_activation(network, paths):
    site = paths.sites.names[0]
    found = exciting_images(network, paths, DATA, {site: [0, 2]}, count=2)
    assert found["channel"] == (0, 0, 2, 2)
    assert found["position"] == (1, 3, 0, 1)
    assert found["activation"] == pytest.approx((5, 4, 3, 2))
    assert found["label"] == (1, 1, 0, 1)


def test_of_equal_ones_the_first_comes_first(network, paths):
    assert exciting_images(network, paths, DATA, {paths.sites.names[0]: [1]}, count=3)["position"] == (3, 0, 1)


def test_channels_that_are_not_there_are_refused(network, paths):
    with pytest.raises(SiteError, match="no channel 3"):
        exciting_images(network, paths, DATA, {paths.sites.names[0]: [3]})
    with pytest.raises(SiteError, match="no site 'elsewhere'"):
        exciting_images(network, paths, DATA, {"elsewhere": [0]})
    with pytest.raises(SettingError, match="count must be a whole number from 1, found 0"):
        exciting_images(network, paths, DATA, {}, count=0)
