"""Sites are found by one rule for any network, and where the published programs put them."""

import itertools

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.models.vision_transformer import VisionTransformer

from unweave.errors import SiteError
from unweave.network.capture import capture
from unweave.network.sites import Site, Sites, find_sites, nodes_of_sites, sites_of
from unweave.zoo.darts import ImageNetDarts

IMAGES = torch.zeros(1, 3, 8, 8)


def captured_big(name):
    """Without memory for the weights: sites depend on shapes alone."""
    with torch.device("meta"):
        return capture(getattr(torchvision.models, name)(weights=None), torch.zeros(1, 3, 64, 64))


@pytest.fixture(scope="module")
def vgg16():
    return captured_big("vgg16")


@pytest.fixture(scope="module")
def resnet50():
    return captured_big("resnet50")


@pytest.fixture(scope="module")
def densenet121():
    return captured_big("densenet121")


@pytest.fixture(scope="module")
def darts():
    with torch.device("meta"):
        return capture(ImageNetDarts(), torch.zeros(1, 3, 64, 64))


VGG16_CHANNELS = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
RESNET50_CHANNELS = [64] + [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
DENSENET121_CHANNELS = [64, 256, 128, 512, 256, 1024, 512, 1024]

VGG16_NAMES = [
    *("features.1/relu:0", "features.4/max_pool2d:0", "features.6/relu:0", "features.9/max_pool2d:0"),
    *("features.11/relu:0", "features.13/relu:0", "features.16/max_pool2d:0"),
    *("features.18/relu:0", "features.20/relu:0", "features.23/max_pool2d:0"),
    *("features.25/relu:0", "features.27/relu:0", "avgpool/adaptive_avg_pool2d:0"),
]
RESNET50_NAMES = [
    "maxpool/max_pool2d:0",
    *(f"layer1.{block}.relu/relu:2" for block in range(3)),
    *(f"layer2.{block}.relu/relu:2" for block in range(4)),
    *(f"layer3.{block}.relu/relu:2" for block in range(6)),
    *(f"layer4.{block}.relu/relu:2" for block in range(3)),
]


@pytest.mark.parametrize("level", ["block", "iccv2021:vgg16"])
def test_vgg16_has_its_13_published_sites(vgg16, level):
    sites = sites_of(vgg16, level)
    assert list(sites.names) == VGG16_NAMES
    assert [site.channels for site in sites] == VGG16_CHANNELS
    assert {site.dim for site in sites} == {1}
    assert sites[-1].shape == (512, 7, 7)


@pytest.mark.parametrize("level", ["block", "iccv2021:resnet50"])
def test_resnet50_has_its_17_published_sites(resnet50, level):
    sites = sites_of(resnet50, level)
    assert list(sites.names) == RESNET50_NAMES
    assert [site.channels for site in sites] == RESNET50_CHANNELS
    assert [site.shape[1] for site in sites] == [16] * 4 + [8] * 4 + [4] * 6 + [2] * 3


def test_densenet121_has_8_sites_after_norm_and_activation(densenet121):
    sites = sites_of(densenet121, "block")
    assert list(sites.names) == [
        "features.pool0/max_pool2d:0",
        *("features.transition1.relu/relu:0", "features.transition1.pool/avg_pool2d:0"),
        *("features.transition2.relu/relu:0", "features.transition2.pool/avg_pool2d:0"),
        *("features.transition3.relu/relu:0", "features.transition3.pool/avg_pool2d:0"),
        "relu:0",
    ]
    assert [site.channels for site in sites] == DENSENET121_CHANNELS


def test_densenet121_published_sites_are_the_dense_blocks_themselves(densenet121):
    sites = sites_of(densenet121, "iccv2021:densenet121")
    assert list(sites.names) == [
        "features.pool0/max_pool2d:0",
        *("features.denseblock1/cat:0", "features.transition1.pool/avg_pool2d:0"),
        *("features.denseblock2/cat:0", "features.transition2.pool/avg_pool2d:0"),
        *("features.denseblock3/cat:0", "features.transition3.pool/avg_pool2d:0"),
        "relu:0",
    ]
    assert [site.channels for site in sites] == DENSENET121_CHANNELS


def test_darts_has_its_16_published_sites_of_which_cells_are_no_cut_points(darts):
    sites = sites_of(darts, "iccv2021:darts")
    assert list(sites.names) == [
        *("stem1.0/relu:0", "stem1.2/batch_norm:0"),
        *(f"cells.{number}/cat:0" for number in range(14)),
    ]
    assert [site.channels for site in sites] == [48, 48] + [192] * 4 + [384] * 5 + [768] * 5
    assert [site.shape[1] for site in sites] == [16] + [8] * 5 + [4] * 5 + [2] * 5
    assert sites_of(darts, "block").names[1:] == ("stem1.0/relu:0", "cells.13/cat:0")


@pytest.mark.parametrize(
    ("name", "layers"),
    # All convolutions and linear layers but the one that gives the class scores.
    [("vgg16", 13 + 2), ("resnet50", 1 + 16 * 3 + 4), ("densenet121", 1 + 58 * 2 + 3)],
)
def test_filter_level_has_every_layer_but_the_last(name, layers, request):
    assert len(sites_of(request.getfixturevalue(name), "filter")) == layers


def test_filters_are_gated_after_their_activation_and_before_a_pool(vgg16, resnet50):
    names = sites_of(vgg16, "filter").names
    assert names[:3] == ("features.1/relu:0", "features.3/relu:0", "features.6/relu:0")
    assert names[-2:] == ("classifier.1/relu:0", "classifier.4/relu:0")
    first_block = [name for name in sites_of(resnet50, "filter").names if name.startswith("layer1.0")]
    assert first_block == [
        *("layer1.0.relu/relu:0", "layer1.0.relu/relu:1"),
        *("layer1.0.bn3/batch_norm:0", "layer1.0.downsample.1/batch_norm:0"),
    ]


def test_published_level_of_another_network_is_refused(resnet50):
    with pytest.raises(SiteError, match=r"no site 'features\.1/relu:0' in ResNet; closest:"):
        sites_of(resnet50, "iccv2021:vgg16")


class Block(nn.Module):
    """A CIFAR ResNet's block: functional ReLU, shortcuts that subsample and pad with zero channels."""

    def __init__(self, inputs, channels):
        super().__init__()
        self.stride, self.missing = channels // inputs, channels - inputs
        self.conv1 = nn.Conv2d(inputs, channels, 3, self.stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, values):
        changed = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(values)))))
        same = functional.pad(values[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))
        return functional.relu(changed + same)


class CifarResNet(nn.Module):
    """He et al. 2016, section 4.2, with few channels: 6 n + 2 layers."""

    def __init__(self, depth):
        super().__init__()
        repeats = (depth - 2) // 6
        widths = [2] * (repeats + 1) + [4] * repeats + [8] * repeats
        self.stem, self.norm = nn.Conv2d(3, 2, 3, 1, 1), nn.BatchNorm2d(2)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in itertools.pairwise(widths)))
        self.classifier = nn.Linear(8, 10)

    def forward(self, images):
        values = self.blocks(functional.relu(self.norm(self.stem(images))))
        return self.classifier(functional.avg_pool2d(values, values.shape[-1]).flatten(1))


@pytest.mark.parametrize(("depth", "count"), [(20, 10), (56, 28)])
def test_cifar_resnets_have_a_site_after_the_stem_and_every_block(depth, count):
    captured = capture(CifarResNet(depth), IMAGES)
    sites = sites_of(captured, "block")
    blocks = (depth - 2) // 6
    assert len(sites) == count == 1 + 3 * blocks
    assert sites.names == ("relu:0", *(f"blocks.{block}/relu:1" for block in range(3 * blocks)))
    assert [site.channels for site in sites] == [2] * (blocks + 1) + [4] * blocks + [8] * blocks
    assert len(sites_of(captured, "filter")) == depth - 1


def test_tiny_networks_have_the_sites_counted_by_hand(network):
    by_name = {
        "TinyPlain": ([4, 6], [4, 6]),
        "TinyResidual": ([4, 4, 6], [4, 4, 6, 6]),
        "TinyDense": ([4, 8], [4, 2, 2]),
    }
    captured = capture(network, IMAGES)
    found = tuple([site.channels for site in sites_of(captured, level)] for level in ("block", "filter"))
    assert found == by_name[type(network).__name__]


def sequence(*layers):
    return nn.Sequential(*layers).eval()


CLASSIFIERS = {
    "linear": (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    "convolution, then pool": (nn.Dropout(), nn.Conv2d(4, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "pool, then convolution": (nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 3, 1), nn.Flatten()),
    "softmax": (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1)),
    "log softmax": (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.LogSoftmax(1)),
    "sigmoid": (nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.Sigmoid()),
    "norm": (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)),
}


@pytest.mark.parametrize("layers", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_class_scores_are_never_a_site(layers):
    captured = capture(sequence(nn.Conv2d(3, 4, 3), nn.ReLU(), *layers), IMAGES)
    assert sites_of(captured, "block").names == ("1/relu:0",)
    assert sites_of(captured, "filter").names == ("1/relu:0",)
    last = next(
        name for name in captured.names.values() if name.split(":")[0].endswith(("linear", "conv2d")) and name[0] != "0"
    )
    with pytest.raises(SiteError, match=f"'{last}' is the class scores, which are never a site"):
        sites_of(captured, [last])


@pytest.mark.parametrize("head", [(), (nn.LogSoftmax(1),)], ids=["scores", "log_softmax"])
@pytest.mark.parametrize("level", ["block", "filter"])
def test_multi_layer_perceptron_has_sites_though_it_has_no_positions(level, head):
    layers = (nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 4), nn.Tanh(), nn.Linear(4, 3))
    sites = find_sites(sequence(*layers, *head), torch.zeros(1, 5), level)
    assert list(sites) == [Site("2/relu:0", 1, 7, (7,)), Site("4/tanh:0", 1, 4, (4,))]


def test_flattened_images_are_no_positions():
    network = sequence(nn.Flatten(), nn.Linear(192, 7), nn.ReLU(), nn.Linear(7, 3))
    assert find_sites(network, IMAGES).names == ("2/relu:0",)


def test_block_level_ends_where_positions_are_averaged_away():
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    captured = capture(sequence(nn.Conv2d(3, 4, 3), nn.ReLU(), *head), IMAGES)
    assert sites_of(captured, "block").names == ("1/relu:0",)
    assert sites_of(captured, "filter").names == ("1/relu:0", "5/relu:0")


class SqueezeAndExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.squeeze, self.excite = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.last = nn.Linear(4, 3)

    def forward(self, images):
        values = functional.relu(self.conv(images))
        scale = torch.sigmoid(self.excite(functional.relu(self.squeeze(values.mean((2, 3), keepdim=True)))))
        return self.last((values * scale).mean((2, 3)))


def test_squeeze_and_excitation_scales_channels_and_makes_no_new_site():
    sites = find_sites(SqueezeAndExcite(), IMAGES)
    assert list(sites) == [Site("mul:0", 1, 4, (4, 6, 6))]


def test_pool_that_also_gives_indices_ends_its_run():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Linear(5, 3)

        def forward(self, images):
            values = functional.adaptive_max_pool2d(functional.relu(self.conv1(images)), 4)
            return self.last(functional.relu(self.conv2(values)).flatten(2).max(2).values)

    sites = find_sites(Pooled(), IMAGES)
    assert [(site.channels, site.shape) for site in sites] == [(4, (4, 4, 4)), (5, (5, 2, 2))]


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Linear(3, 3)

    def forward(self, images):
        values = self.act(self.conv(self.act(self.conv(images))))
        return self.last(values.mean((2, 3)))


@pytest.fixture(scope="module")
def twice():
    return capture(Twice(), IMAGES)


def test_module_called_twice_has_two_names(twice):
    assert sites_of(twice, "block").names == ("act/relu:0", "act/relu:1")
    assert [name for name in twice.names.values() if "conv" in name] == ["conv/conv2d:0", "conv/conv2d:1"]


def test_list_of_names_is_put_in_forward_order(twice):
    assert sites_of(twice, ["act/relu:1", "conv/conv2d:0"]).names == ("conv/conv2d:0", "act/relu:1")


def test_unknown_name_is_refused_with_the_closest(twice):
    with pytest.raises(SiteError, match=r"no site 'act/relu:2' in Twice; closest: act/relu:1, act/relu:0.*find_sites"):
        sites_of(twice, ["act/relu:2"])


def test_name_given_twice_is_refused(twice):
    with pytest.raises(SiteError, match="'act/relu:0' is named twice"):
        sites_of(twice, ["act/relu:0", "act/relu:0"])


def test_unknown_level_is_refused_with_the_levels(twice):
    with pytest.raises(
        SiteError, match=r"no level 'blocks'; there are 'block', 'filter', 'heads', 'neurons', 'iccv2021:vgg16'"
    ):
        sites_of(twice, "blocks")


@pytest.mark.parametrize("level", ["block", []])
def test_network_without_sites_is_refused(level):
    with pytest.raises(SiteError, match=r"no site was found in Linear at level .*; give a list of value names"):
        find_sites(nn.Linear(5, 3), torch.zeros(1, 5), level)


def test_value_whose_channels_were_lost_is_refused():
    class Lost(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(3, 3)

        def forward(self, images):
            return self.last(images.cumsum(1).mean((2, 3)))

    with pytest.raises(SiteError, match=r"'cumsum:0' in Lost has no channel dimension that could be followed"):
        find_sites(Lost(), IMAGES, ["cumsum:0"])


@pytest.fixture(scope="module")
def transformer():
    network = VisionTransformer(8, 4, num_layers=2, num_heads=2, hidden_dim=6, mlp_dim=10, num_classes=3)
    return capture(network, IMAGES)


def test_transformer_has_a_site_wherever_its_tokens_are_added_to(transformer):
    sites = sites_of(transformer, "block")
    assert sites.names == (
        "encoder/add:0",
        "encoder.layers.encoder_layer_0/add:0",
        "encoder.layers.encoder_layer_0/add:1",
        "encoder.layers.encoder_layer_1/add:0",
        "encoder.ln/layer_norm:0",
    )
    assert {(site.dim, site.channels, site.shape) for site in sites} == {(2, 6, (5, 6))}


def test_transformer_has_filters_in_its_projections(transformer):
    sites = sites_of(transformer, "filter")
    assert [(site.dim, site.channels) for site in sites] == [(1, 6), *[(2, 6), (2, 10), (2, 6)] * 2]
    assert sites[2].name == "encoder.layers.encoder_layer_0.mlp.1/gelu:0"


def test_value_that_does_not_keep_images_apart_is_refused(transformer):
    name = "encoder.layers.encoder_layer_0.self_attention/linear:0"  # tokens first, then the batch
    with pytest.raises(SiteError, match=f"'{name}' .* does not keep the images apart in its first dimension"):
        sites_of(transformer, [name])


def test_sites_know_the_example_they_were_found_with():
    sites = find_sites(Twice().double(), torch.zeros(4, 3, 8, 8, dtype=torch.float64))
    assert (sites.image_shape, sites.dtype, sites.logits) == ((3, 8, 8), "float64", None)
    assert sites.channels == 6
    part = sites[1:]
    assert isinstance(part, Sites)
    assert part.names == ("act/relu:1",)
    assert (part.image_shape, part.dtype) == (sites.image_shape, sites.dtype)


def test_sites_print_as_a_table(twice):
    sites = sites_of(twice, "block")
    assert "2 sites, 6 channels" in repr(sites)
    assert "act/relu:1      3 channels  (3, 8, 8)" in repr(sites)
    assert sites._repr_html_().count("<tr>") == 3


def test_sites_found_in_one_capture_are_found_in_another(network):
    sites = find_sites(network, IMAGES)
    again = capture(network, torch.zeros(5, 3, 8, 8))
    assert [again.names[node.name] for node in nodes_of_sites(again, sites)] == list(sites.names)


def test_a_site_is_placed_before_padding_that_belongs_to_the_next_convolution():
    padded = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 5, 3, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2),
    )  # fmt: skip
    assert find_sites(padded, torch.zeros(2, 3, 8, 8)).names == ("1/relu:0", "4/relu:0")
