"""Each rule on a network small enough to say what has to be left of it."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import unweave as uw
from tests.surgery.cutting import Head, cut, images, kept, operations, shape
from tests.tiny import TinyDense, TinyPlain, TinyResidual


def _with_statistics(norm):
    norm.running_mean.normal_(0, 0.5)
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight, 1, 0.3)
    nn.init.normal_(norm.bias, 0, 0.5)
    return norm


def test_a_chain_is_cut_on_both_sides_of_a_site():
    network = TinyPlain().randomised()
    small = cut(network, images(3, 8, 8), {"features.0.2/relu:0": kept(4, 0, 3)})
    assert shape(small, "features.0.0.weight") == (2, 3, 3, 3)
    assert shape(small, "features.2.0.weight") == (6, 2, 3, 3)
    assert operations(small) == ["conv2d", "relu_", "max_pool2d", "conv2d", "relu_", "mean", "linear"]


def test_what_no_kept_channel_needs_is_not_computed():
    network = Head(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 1), nn.ReLU()), 5)
    with torch.no_grad():
        network.body[2].weight[2, :3] = 0  # its third channel reads the fourth of the first convolution only
    small = cut(network, images(3, 4, 4), {"body.3/relu:0": kept(5, 2)})
    assert shape(small, "body.0.weight") == (1, 3, 1, 1)
    assert shape(small, "body.2.weight") == (1, 1, 1, 1)


def test_a_masked_channel_that_a_norm_shifts_goes_into_the_next_bias():
    norm = _with_statistics(nn.BatchNorm2d(4).eval())
    network = Head(nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 5, 1, bias=False)), 5)
    norm.bias.data[1] = 3.0
    small = cut(network, images(3, 6, 6), {"body.0/conv2d:0": kept(4, 0)})
    assert shape(small, "body.3.weight") == (5, 1, 1, 1)
    shift = functional.relu((0 - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias)
    expected = (network.body[3].weight[:, 1:, 0, 0] * shift[1:]).sum(1)
    assert torch.allclose(small.state_dict()["body.3.bias"], expected, atol=1e-5)


def test_a_constant_before_a_convolution_with_padding_is_carried_along():
    norm = _with_statistics(nn.BatchNorm2d(4).eval())
    network = Head(nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1)), 5)
    norm.bias.data[:] = torch.tensor([0.0, 3.0, -9.0, 0.0])  # the second shifts to a constant, the third to zero
    norm.weight.data[3], norm.running_mean[3] = 1.0, 5.0
    small = cut(network, images(3, 6, 6), {"body.0/conv2d:0": kept(4, 0)})
    assert shape(small, "body.3.weight") == (5, 2, 3, 3)


@pytest.mark.parametrize("counts_padding", [True, False])
def test_a_constant_is_averaged_with_the_zeros_around_it(counts_padding):
    norm = _with_statistics(nn.BatchNorm2d(4).eval())
    pool = nn.AvgPool2d(3, 1, 1, count_include_pad=counts_padding)
    network = Head(nn.Sequential(nn.Conv2d(3, 4, 3), norm, pool, nn.Conv2d(4, 5, 1)), 5)
    small = cut(network, images(3, 6, 6), {"body.0/conv2d:0": kept(4, 0)})
    assert shape(small, "body.3.weight")[1] == (4 if counts_padding else 1)


def test_a_residual_sum_of_other_channels_holds_those_of_either():
    network = TinyResidual().randomised()
    masks = {"stem.2/relu:0": kept(4, 0, 1), "relu:0": kept(4, 1, 2, 3)}
    small = cut(network, images(3, 8, 8), masks)
    assert shape(small, "stem.0.weight") == (2, 3, 3, 3)
    assert shape(small, "first.weight") == (3, 2, 3, 3)
    assert operations(small).count("index_add") == 1
    assert shape(small, "second.weight") == (6, 3, 3, 3)


def test_a_residual_sum_of_the_same_channels_moves_nothing():
    network = TinyResidual().randomised()
    small = cut(network, images(3, 8, 8), {"stem.2/relu:0": kept(4, 0, 2), "relu:0": kept(4, 0, 2)})
    assert not {"index_add", "index_copy", "index_select", "slice"} & set(operations(small))


def test_concatenated_channels_keep_their_order():
    network = TinyDense().randomised()
    small = cut(network, images(3, 8, 8), {"cat:1": kept(8, 1, 2, 4, 7)})
    # the second convolution still reads all channels of the first concatenation
    assert shape(small, "second.weight") == (1, 6, 3, 3)
    assert shape(small, "classifier.weight")[0] == 3


def test_a_concatenated_part_that_is_masked_is_not_computed():
    network = TinyDense().randomised()
    small = cut(network, images(3, 8, 8), {"cat:0": kept(6, 0, 1, 2, 3), "cat:1": kept(8, 0, 1)})
    assert "second.weight" not in small.state_dict()
    assert "first.weight" not in small.state_dict()
    assert shape(small, "stem.0.weight")[0] == 2


def test_a_depthwise_convolution_carries_its_channels():
    body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, padding=1, groups=4), nn.ReLU())
    small = cut(Head(body, 8), images(3, 5, 5), {"body.1/relu:0": kept(4, 1, 3)})
    assert shape(small, "body.0.weight") == (2, 3, 1, 1)
    assert shape(small, "body.2.weight") == (4, 1, 3, 3)


def test_a_depthwise_convolution_is_cut_from_behind():
    body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU())
    small = cut(Head(body, 4), images(3, 5, 5), {"body.3/relu:0": kept(4, 0)})
    assert shape(small, "body.0.weight") == (1, 3, 1, 1)
    assert shape(small, "body.2.weight") == (1, 1, 3, 3)


def test_groups_of_which_nothing_is_left_are_left_out_and_the_others_made_equal():
    body = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 6, 1, groups=3), nn.ReLU())
    masks = {"body.1/relu:0": kept(6, 0, 1, 2, 5), "body.3/relu:0": kept(6, 0, 2, 3)}
    small = cut(Head(body, 6), images(3, 5, 5), masks)
    # two of three groups: operands (0, 1) and (2, filler), results (0, filler) and (2, 3)
    assert shape(small, "body.2.weight") == (4, 2, 1, 1)
    assert shape(small, "body.0.weight") == (3, 3, 1, 1)
    assert shape(small, "classifier.weight") == (3, 4)


class _Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.hidden, self.classifier = nn.Conv2d(3, 4, 1), nn.Linear(4 * 9, 7), nn.Linear(7, 3)

    def forward(self, values):
        values = functional.relu(self.conv(values))
        return self.classifier(functional.relu(self.hidden(torch.flatten(values, 1))))


def test_a_channel_flattened_before_a_linear_layer_is_as_many_columns_as_positions():
    network = _Flat()
    small = cut(network, images(3, 3, 3), {"relu:0": kept(4, 1, 2)})
    assert torch.equal(small.state_dict()["hidden.weight"], network.hidden.weight[:, 9:27])


def test_hidden_neurons_are_cut():
    small = cut(_Flat(), images(3, 3, 3), {"relu:1": kept(7, 0, 4, 5)})
    assert shape(small, "hidden.weight") == (3, 36)
    assert shape(small, "classifier.weight") == (3, 3)


class _Padded(nn.Module):
    """A shortcut that is subsampled, and padded with channels of zeros."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.classifier = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, 2, 1), nn.Linear(8, 3)

    def forward(self, values):
        values = functional.relu(self.stem(values))
        shortcut = functional.pad(values[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return self.classifier(functional.relu(self.conv(values) + shortcut).mean((2, 3)))


def test_a_shortcut_padded_with_zero_channels_adds_only_those_that_it_has():
    small = cut(_Padded(), images(3, 6, 6), {"relu:0": kept(4, 0, 3), "relu:1": kept(8, 0, 2, 5)})
    assert shape(small, "conv.weight") == (3, 2, 3, 3)
    assert operations(small).count("index_add") == 1
    assert "pad" not in operations(small)


class _Gated(nn.Module):
    """Squeeze and excitation."""

    def __init__(self):
        super().__init__()
        self.conv, self.squeeze, self.excite = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.classifier = nn.Linear(4, 3)

    def forward(self, values):
        values = functional.relu(self.conv(values))
        gate = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(values, 1)))
        return self.classifier((values * torch.sigmoid(self.excite(gate))).mean((2, 3)))


def test_a_gate_is_made_only_for_channels_that_are_there():
    small = cut(_Gated(), images(3, 4, 4), {"relu:0": kept(4, 1, 2)})
    assert shape(small, "excite.weight") == (2, 2, 1, 1)
    assert not {"index_copy", "index_select"} & set(operations(small))


class _GatedConstants(_Gated):
    """As above, but channels that the masks make constant are gated too, and a convolution with borders follows."""

    def __init__(self):
        super().__init__()
        self.apart, self.behind = nn.Conv2d(4, 4, 1, groups=4), nn.Conv2d(4, 4, 3, padding=1)
        nn.init.constant_(self.apart.bias, 0.5)

    def forward(self, values):
        values = functional.relu(self.apart(functional.relu(self.conv(values))))
        gate = torch.sigmoid(self.excite(functional.adaptive_avg_pool2d(values, 1)[:, :2]))
        return self.classifier(self.behind(values * gate).mean((2, 3)))


def test_constant_channels_that_are_gated_have_all_positions():
    small = cut(_GatedConstants(), images(3, 4, 4), {"relu:0": kept(4, 0), "mul:0": kept(4, 2, 3)})
    assert operations(small).count("expand") == 1
    assert shape(small, "behind.weight") == (4, 2, 3, 3)


class _Attention(nn.Module):
    """One block of a transformer over the positions of a patch embedding, with a class token."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 8, 2, 2), nn.Parameter(torch.randn(1, 1, 8))
        self.place = nn.Parameter(torch.randn(1, 5, 8))
        self.first, self.second = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.wide, self.narrow, self.classifier = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, values):
        values = self.patches(values).flatten(2).transpose(1, 2)
        values = torch.cat([self.token.expand(values.shape[0], -1, -1), values], 1) + self.place
        normed = self.first(values)
        values = values + self.attention(normed, normed, normed, need_weights=False)[0]
        values = values + self.narrow(functional.gelu(self.wide(self.second(values))))
        return self.classifier(values[:, 0])


def test_the_neurons_of_a_transformer_are_cut_and_its_attention_gets_all_channels():
    small = cut(_Attention(), images(3, 4, 4), {"gelu:0": kept(16, 0, 5, 9), "patches/conv2d:0": kept(8, 1, 2, 3)})
    assert shape(small, "wide.weight") == (3, 8)
    assert shape(small, "narrow.weight") == (8, 3)
    assert shape(small, "patches.weight") == (3, 3, 2, 2)
    assert {"token", "place"} <= {name for name, _ in small.named_parameters()}


class _Shuffled(nn.Module):
    """Halves of the channels go different ways, and are shuffled."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.classifier = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 3, 1), nn.Linear(6, 3)

    def forward(self, values):
        left, right = functional.relu(self.stem(values)).chunk(2, 1)
        joined = torch.cat([left, functional.relu(self.conv(right))], 1)
        mixed = joined.view(joined.shape[0], 2, 3, *joined.shape[2:]).transpose(1, 2).reshape(joined.shape)
        return self.classifier(mixed.mean((2, 3)))


def test_halves_of_channels_are_followed_and_a_shuffle_gets_all_of_them():
    small = cut(_Shuffled(), images(3, 4, 4), {"relu:0": kept(6, 0, 4, 5), "conv/conv2d:0": kept(3, 1)})
    assert shape(small, "stem.weight")[0] == 3
    assert shape(small, "conv.weight") == (1, 2, 1, 1)


class _Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)
        self.behind, self.classifier = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, values):
        left, right = functional.relu(self.left(values)), functional.relu(self.right(values))
        return self.classifier((left + self.behind(right)).mean((2, 3)))


def test_a_branch_whose_site_keeps_nothing_is_bypassed():
    network = _Branches()
    small = cut(network, images(3, 4, 4), {"relu:1": kept(4)})
    assert "right.weight" not in small.state_dict()
    assert "behind.weight" not in small.state_dict()
    assert operations(small).count("conv2d") == 1


def test_a_transposed_convolution_is_cut_on_both_sides():
    body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.ConvTranspose2d(4, 6, 2, 2), nn.ReLU())
    masks = {"body.1/relu:0": kept(4, 0, 1, 2), "body.3/relu:0": kept(6, 1, 5)}
    assert shape(cut(Head(body, 6), images(3, 4, 4), masks), "body.2.weight") == (3, 2, 2, 2)


def test_a_norm_of_all_channels_gets_all_of_them():
    body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 1))
    small = cut(Head(body, 4), images(3, 4, 4), {"body.1/relu:0": kept(4, 0, 3)})
    assert shape(small, "body.0.weight") == (2, 3, 1, 1)
    assert shape(small, "body.3.weight") == (4, 4, 1, 1)


def test_slopes_of_single_channels_are_cut():
    body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.PReLU(4), nn.InstanceNorm2d(4, affine=True))
    small = cut(Head(body, 4), images(3, 4, 4), {"body.1/prelu:0": kept(4, 1, 3)})
    assert shape(small, "body.1.weight") == (2,)


class _Sigmoid(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.second, self.classifier = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

    def forward(self, values):
        values = torch.sigmoid(self.conv(values) * 1.0)
        return self.classifier((2 - self.second(values)).mean((2, 3)) / 3)


def test_an_activation_that_turns_zero_into_one_half_adds_to_the_next_bias():
    network = _Sigmoid()
    small = cut(network, images(3, 4, 4), {"conv/conv2d:0": kept(4, 2)})
    half = network.second.weight[:, [0, 1, 3], 0, 0].sum(1) / 2
    assert torch.allclose(small.state_dict()["second.bias"], network.second.bias + half, atol=1e-6)


class SplitAcrossTheBatch(nn.Module):
    """Splits a dimension that holds the batch: how large the parts are depends on how many images there are."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.last = nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Linear(4, 2)

    def forward(self, images):
        values = self.relu(self.conv(images)).mean((2, 3))
        return self.last(torch.cat(values.chunk(1), 0))


class LearnedBound(nn.Module):
    """A clamp whose upper bound is a tensor, one a channel."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.last = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2)
        self.bound = nn.Parameter(torch.tensor([0.2, 0.4, 0.6, 0.8]).view(1, 4, 1, 1))

    def forward(self, images):
        return self.last(torch.clamp(self.relu(self.conv(images)), max=self.bound).mean((2, 3)))


@pytest.mark.parametrize("kind", [SplitAcrossTheBatch, LearnedBound])
def test_what_depends_on_the_batch_or_on_another_tensor_is_equal_at_every_batch_size(kind):
    torch.manual_seed(0)
    network = kind().eval()
    sites = uw.find_sites(network, torch.rand(2, 3, 6, 6), level="filter")
    (name,) = sites.names
    masks = {name: torch.tensor([[True, False, True, False]])}
    paths = uw.Paths.from_masks(masks, network, torch.rand(2, 3, 6, 6), classes=[0])
    small, whole = uw.extract(network, paths, torch.rand(2, 3, 6, 6)), uw.restrict(network, paths)
    for count in (1, 2, 5):
        images = torch.rand(count, 3, 6, 6)
        torch.testing.assert_close(small(images), whole(images))
