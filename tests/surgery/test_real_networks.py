"""Networks that others trained, with masks that differ from site to site."""

import importlib.util

import pytest
import torch

from tests.surgery.cutting import cut
from unweave.network.sites import find_sites

SHAPES = {"resnet20": 32, "densenet40": 32, "mobilenet_v1": 224, "squeezenet": 224}


# One level each; the others, and ResNet-56, are left to benchmarks/extraction.py.
@pytest.mark.parametrize(
    ("name", "level"),
    [("resnet20", "filter"), ("densenet40", "block"), ("mobilenet_v1", "filter"), ("squeezenet", "block")],
)
def test_real_networks_are_cut_and_equal(real_data, name, level):
    spec = importlib.util.spec_from_file_location("networks", real_data / "models" / "networks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = getattr(module, name)()
    example = torch.randn(2, 3, SHAPES[name], SHAPES[name]) * (255 if name == "densenet40" else 1)
    masks = {site.name: torch.rand(1, site.channels) < 0.6 for site in find_sites(network, example, level)}
    small = cut(network, example, masks)
    assert sum(one.numel() for one in small.parameters()) < 0.7 * sum(one.numel() for one in network.parameters())
