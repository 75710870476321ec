"""Folded graphs compute the same with less work."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from unweave.network.capture import capture
from unweave.network.folding import channels_last, fold_batch_norms, to_device
from unweave.network.sites import nodes_of_sites, sites_of
from unweave.network.tapping import Multiplier, Recorder, TappedNetwork

IMAGES = torch.zeros(1, 3, 8, 8)


def norms(captured):
    return sum("batch_norm" in str(node.target) for node in captured.graph.nodes)


def with_head(*layers, channels=4):
    head = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))
    return randomised(nn.Sequential(*layers, *head))


def randomised(network):
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.2, 3.0)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return network.eval()


def difference(network, captured, images):
    with torch.no_grad():
        return float((captured.module()(images) - network(images)).abs().max())


def test_folded_network_has_no_norms_and_gives_the_same_scores(network):
    captured = capture(network, IMAGES)
    folded = fold_batch_norms(captured)
    assert norms(captured) > 0
    assert norms(folded) == 0
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(folded.module()(images), network(images))


def test_folding_in_double_precision_is_exact_to_rounding(network):
    network.double()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    assert difference(network, fold_batch_norms(capture(network, images)), images) < 1e-12


def test_folding_one_channel_equals_the_formula_by_hand():
    """conv: 2 x + 1; norm: (y - 3) / sqrt(4) * 5 + 7; together 5 x + 2."""
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)
    for tensor, value in (
        (conv.weight, 2),
        (conv.bias, 1),
        (norm.running_mean, 3),
        (norm.running_var, 4),
        (norm.weight, 5),
        (norm.bias, 7),
    ):
        nn.init.constant_(tensor, value)
    network = nn.Sequential(conv, norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)).eval()
    folded = fold_batch_norms(capture(network, torch.zeros(1, 1, 2, 2)))
    values = sorted(float(tensor) for name, tensor in folded.tensors.items() if name.startswith("folded."))
    assert values == [2.0, 5.0]


def test_folding_changes_no_weight_of_the_network(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    captured = capture(network, IMAGES)
    own = dict(captured.tensors)
    fold_batch_norms(captured)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(captured.tensors[name] is tensor for name, tensor in own.items())
    assert norms(captured) > 0


def test_folded_graph_keeps_only_the_tensors_it_uses(plain):
    folded = fold_batch_norms(capture(plain, IMAGES))
    left = {name for name in folded.tensors if not name.startswith("folded.")}
    assert left == {"classifier.weight", "classifier.bias"}
    assert len(folded.tensors) == 6


class TwoReaders(nn.Module):
    """The convolution's output is read by the norm and by an addition."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, images):
        values = self.conv(images)
        return self.linear((self.norm(values).relu() + values).mean((2, 3)))


class TwoNorms(nn.Module):
    """One convolution, used twice, with a norm of its own each time."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, images):
        values = self.first(self.conv(images)).relu()
        return self.second(self.conv(values)).mean((2, 3))


def test_convolution_with_two_readers_is_not_folded():
    network = randomised(TwoReaders())
    folded = fold_batch_norms(capture(network, IMAGES))
    assert norms(folded) == 1
    assert difference(network, folded, torch.randn(3, 3, 8, 8)) == 0


def test_convolution_used_twice_is_folded_with_each_norm_of_its_own():
    network = randomised(TwoNorms())
    folded = fold_batch_norms(capture(network, IMAGES))
    assert norms(folded) == 0
    assert difference(network, folded, torch.randn(3, 3, 8, 8)) < 1e-5


@pytest.mark.parametrize(
    "network",
    [
        with_head(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)),
        with_head(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
        with_head(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)),
        with_head(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
    ],
    ids=["norm first", "activation between", "weight computed in the graph", "statistics of the batch"],
)
def test_norm_that_cannot_be_folded_stays(network):
    folded = channels_last(fold_batch_norms(capture(network, IMAGES)))
    assert norms(folded) == 1
    assert difference(network, folded, torch.randn(3, 3, 8, 8)) < 1e-5


def test_site_at_a_convolutions_own_output_is_kept(plain):
    captured = capture(plain, IMAGES)
    sites = sites_of(captured, ["features.0.0/conv2d:0", "features.2.1/batch_norm:0"])
    folded = fold_batch_norms(captured, sites)
    assert norms(folded) == 1
    images = torch.randn(3, 3, 8, 8)
    values = []
    for graph in (captured, folded):
        recorder = Recorder()
        TappedNetwork(graph, sites)(images, recorder)
        values.append(recorder.values)
    assert torch.equal(values[0][0], values[1][0])
    torch.testing.assert_close(values[0][1], values[1][1])


def test_sites_keep_their_names_in_the_folded_graph(network):
    captured = capture(network, IMAGES)
    for level in ("block", "filter"):
        sites = sites_of(captured, level)
        folded = fold_batch_norms(captured, sites)
        assert [folded.names[node.name] for node in nodes_of_sites(folded, sites)] == list(sites.names)
        assert tuple(sites_of(folded, level)) == tuple(sites)


def test_gated_folded_network_equals_the_gated_network(network):
    captured = capture(network, IMAGES)
    sites = sites_of(captured, "block")
    gates = [torch.rand(5, site.channels) for site in sites]
    images = torch.randn(5, 3, 8, 8)
    plain = TappedNetwork(captured, sites)(images, Multiplier(sites, gates))
    folded = TappedNetwork(channels_last(fold_batch_norms(captured, sites)), sites)(images, Multiplier(sites, gates))
    torch.testing.assert_close(folded, plain)


def test_channels_last_changes_the_order_in_memory_and_no_value(network):
    captured = capture(network, IMAGES)
    ordered = channels_last(captured)
    for name, tensor in captured.tensors.items():
        assert torch.equal(ordered.tensors[name], tensor)
        if tensor.ndim == 4:
            assert ordered.tensors[name].is_contiguous(memory_format=torch.channels_last)
    assert all(tensor.is_contiguous() for tensor in network.state_dict().values())
    images = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(ordered.module()(images), captured.module()(images))


def test_moving_to_the_same_device_moves_nothing(plain):
    captured = capture(plain, IMAGES)
    assert to_device(captured, torch.device("cpu")) is captured


def test_moving_to_another_device_moves_tensors_and_constants():
    class WithConstants(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 3)

        def forward(self, images):
            return self.linear(images + torch.arange(5, dtype=images.dtype, device=images.device))

    captured = capture(WithConstants(), torch.zeros(1, 5))
    moved = to_device(captured, torch.device("meta"))
    assert {tensor.device.type for tensor in moved.tensors.values()} == {"meta"}
    assert captured.device == torch.device("cpu")
    assert moved.module()(torch.zeros(4, 5, device="meta")).shape == (4, 3)
    assert list(moved.names.values()) == list(captured.names.values())


@given(
    groups=st.integers(1, 3),
    inputs=st.integers(1, 2),
    outputs=st.integers(1, 2),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    affine=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_any_convolution_and_norm_fold_into_one_convolution(
    groups, inputs, outputs, kernel, stride, padding, dilation, bias, affine, seed
):
    torch.manual_seed(seed)
    channels = groups * outputs
    conv = nn.Conv2d(groups * inputs, channels, kernel, stride, padding, dilation, groups, bias)
    network = with_head(conv, nn.BatchNorm2d(channels, affine=affine), channels=channels).double()
    images = torch.randn(3, groups * inputs, 7, 7, dtype=torch.float64)
    folded = fold_batch_norms(capture(network, images))
    assert norms(folded) == 0
    assert difference(network, folded, images) < 1e-12
