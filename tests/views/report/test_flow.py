"""The data of the flow: bits, users, nearest rows, images."""

import base64

import numpy as np
import pytest
import torch

from tests.tiny import TinyPlain
from unweave.analysis.stability import stability
from unweave.network.sites import find_sites
from unweave.paths import Paths
from unweave.tables import Table
from unweave.views.report.flow import flow_data


@pytest.fixture
def paths():
    """Three classes at two sites."""
    network = TinyPlain().eval()
    sites = find_sites(network, torch.zeros(1, 3, 8, 8))
    masks = {site.name: torch.rand(3, site.channels) > 0.5 for site in sites}
    return Paths.from_masks(masks, network, torch.zeros(1, 3, 8, 8), classes=[0, 1, 2], names=["a", "b", "c"])


def test_bits_hold_the_masks(paths):
    for site, mask in zip(flow_data(paths, None, {})["sites"], paths.masks.values(), strict=True):
        bits = np.unpackbits(np.frombuffer(base64.b64decode(site["masks"]), np.uint8))[: mask.numel()]
        assert bits.reshape(mask.shape).tolist() == mask.int().tolist()
        assert site["users"] == mask.sum(0).tolist()


def test_the_nearest_row_has_the_highest_jaccard_similarity(paths):
    name, mask = next(iter(paths.masks.items()))
    site = next(one for one in flow_data(paths, None, {})["sites"] if one["name"] == name)

    def shared(i, j):
        return float((mask[i] & mask[j]).sum() / (mask[i] | mask[j]).sum().clamp_min(1))

    best = max((1, 2), key=lambda other: shared(0, other))
    assert site["nearest"][0]["rows"][0] == [best, pytest.approx(shared(0, best), abs=1e-3)]


def test_rows_that_share_equally_are_counted_not_named():
    network = TinyPlain().eval()
    sites = find_sites(network, torch.zeros(1, 3, 8, 8))
    masks = {site.name: torch.ones(5, site.channels, dtype=torch.bool) for site in sites}
    masks[sites.names[0]][0, 0] = False
    paths = Paths.from_masks(masks, network, torch.zeros(1, 3, 8, 8), classes=range(5))
    first, second, *_ = (site["nearest"] for site in flow_data(paths, None, {})["sites"])
    less = 1 - 1 / sites[0].channels
    assert second == [{"rows": [], "alike": [4, 1.0]}] * 5
    assert first[0] == {"rows": [], "alike": [4, pytest.approx(less, abs=1e-3)]}
    assert first[1] == {"rows": [[2, 1.0], [3, 1.0], [4, 1.0]], "alike": None}


def test_a_site_knows_a_class_s_similarity_to_itself_where_other_seeds_were_searched(paths):
    assert {site["itself"] for site in flow_data(paths, None, {})["sites"]} == {None}
    found = flow_data(paths, None, {}, stability([paths, paths]))
    assert {site["itself"] for site in found["sites"]} == {1.0}


def test_images_without_a_picture_are_left_out(paths):
    site = paths.sites.names[0]
    columns = {"site": (site, site), "channel": (1, 1), "position": (7, 8)}
    found = flow_data(paths, Table("", columns, {}), {7: "data:image/png;base64,AA"})
    assert found["exciting"] == {site: {"1": [7]}}
    assert found["pictures"] == {"7": "data:image/png;base64,AA"}
