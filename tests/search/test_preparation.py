"""Making a network ready, and refusing what cannot be searched."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tests.search.problems import Small, prepared_small, small_problem
from tests.tiny import labelled_noise
from unweave.data.labelled import labelled
from unweave.errors import CaptureError, NumericError, SettingError
from unweave.network.tapping import Multiplier
from unweave.search.disentangle import disentangle
from unweave.search.preparation import prepare


class AlwaysRandom(nn.Module):
    """Drops values in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.first, self.classifier = nn.Conv2d(3, 8, 3), nn.Linear(8, 3)

    def forward(self, images):
        values = functional.dropout(torch.relu(self.first(images)), 0.5, training=True)
        return 10 * self.classifier(values.mean((2, 3)))


class BatchReader(nn.Module):
    """Its class scores for one image depend on how many there are."""

    def __init__(self):
        super().__init__()
        self.first, self.classifier = nn.Conv2d(3, 8, 3), nn.Linear(8, 3)

    def forward(self, images):
        return self.classifier(torch.relu(self.first(images)).mean((2, 3))) * (10.0 if len(images) == 2 else 1.0)


class Pair(Small):
    """Gives a dict."""

    def forward(self, images):
        scores = super().forward(images)
        return {"logits": scores, "twice": 2 * scores}


def with_open_gates(prepared, images):
    ones = [torch.ones(site.channels, device=prepared.device, dtype=prepared.dtype) for site in prepared.sites]
    with torch.no_grad():
        return prepared.tapped(images, Multiplier(prepared.sites, ones))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_prepared_network_computes_the_same(dtype):
    prepared, images, network = prepared_small(dtype)
    batch = images.images(range(10))
    with torch.no_grad():
        expected = network(batch)
    assert prepared.dtype == dtype
    assert prepared.device.type == "cpu"
    assert torch.allclose(with_open_gates(prepared, batch), expected, rtol=1e-5, atol=1e-4)


def test_every_connection_type_computes_the_same(network, noise):
    images = labelled(noise)
    prepared = prepare(network, images, "block", None, None)
    batch = images.images(range(6))
    with torch.no_grad():
        assert torch.allclose(with_open_gates(prepared, batch), network(batch), rtol=1e-4, atol=1e-5)


def test_given_sites_are_used():
    prepared, images, network = prepared_small(torch.float32)
    some = prepared.sites[1:2]
    again = prepare(network, images, some, None, None)
    assert again.sites.names == ("relu_b/relu:0",)


def test_named_part_of_output_is_searched():
    network, data = Pair().eval(), small_problem(torch.float32)[1]
    images = labelled(data)
    prepared = prepare(network, images, "block", None, "twice")
    batch = images.images(range(3))
    with torch.no_grad():
        assert torch.allclose(with_open_gates(prepared, batch), network(batch)["twice"], atol=1e-5)
    # sites know which part they were found for
    again = prepare(network, images, prepared.sites, None, None)
    assert torch.equal(with_open_gates(again, batch), with_open_gates(prepared, batch))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (AlwaysRandom, r"class scores differ by .*is it random, or different for other batch sizes"),
        (BatchReader, "only takes one batch size"),
    ],
)
def test_network_that_answers_differently_each_time_is_refused(kind, message):
    with pytest.raises(CaptureError, match=message):
        prepare(kind().eval(), labelled(labelled_noise(24)), "filter", None, None)


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "meta:x"])
def test_unknown_device_is_refused(device):
    network, data = small_problem(torch.float32)
    with pytest.raises(SettingError, match=f"device '{device}' cannot be used"):
        prepare(network, labelled(data), "block", device, None)


def test_nan_in_images_is_refused_with_the_site():
    network, data = small_problem(torch.float32)
    pictures = data.tensors[0].clone()
    pictures[0, 0, 0, 0] = float("nan")
    with pytest.raises(NumericError, match="first at site 'relu_a/relu:0'"):
        prepare(network, labelled(TensorDataset(pictures, data.tensors[1])), "block", None, None)


def test_network_with_nan_weights_is_refused_with_the_site():
    network, data = small_problem(torch.float32)
    with torch.no_grad():
        network.last.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(NumericError, match="first at site 'relu_c/relu:0'"):
        prepare(network, labelled(data), "block", None, None)


def test_a_network_that_ends_in_softmax_is_warned_about():
    network, data = small_problem(torch.float32)
    with pytest.warns(UserWarning, match="ends in softmax"):
        prepare(torch.nn.Sequential(network, torch.nn.Softmax(1)), labelled(data), "block", None, None)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_networks_of_other_precision_are_searched_in_it(dtype):
    network, data = small_problem(torch.float32)
    images, labels = data.tensors
    wide = torch.utils.data.TensorDataset(images.to(dtype), labels)
    paths = disentangle(network.to(dtype), wide, objective="concept-path", beta=0.1, passes=1)
    assert all(torch.isfinite(score).all() for score in paths.scores.values())
