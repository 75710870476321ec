"""The network with the masks of a `Paths` applied."""

import copy

import pytest
import torch
from torch import nn

from tests.tiny import TinyPlain
from unweave.errors import DataError, MismatchError, PathsError, SiteError
from unweave.network.fingerprint import fingerprint
from unweave.network.sites import find_sites
from unweave.paths import Paths, Rows
from unweave.paths.restrict import restrict

IMAGES = torch.zeros(1, 3, 8, 8)
MODULES = {"features.1/max_pool2d:0": "features.1", "features.2.2/relu:0": "features.2"}


@pytest.fixture
def images():
    return torch.randn(5, 3, 8, 8)


@pytest.fixture(scope="module")
def sites():
    return find_sites(TinyPlain(), IMAGES)


@pytest.fixture
def paths(plain, sites):
    """Three rows; the first keeps everything, the last nothing at the second site."""
    masks = {
        "features.1/max_pool2d:0": torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [0, 1, 1, 1]]).bool(),
        "features.2.2/relu:0": torch.tensor([[1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]]).bool(),
    }
    rows = Rows.of_classes([0, 1, 2], ["cat", "dog", "bird"])
    return Paths(masks, rows, sites, {"network": fingerprint(plain)})


def by_hand(network, paths, images):
    """Class scores with each image's own masks multiplied in by hooks; `paths` has one row an image."""
    hooks = []
    for name, path in MODULES.items():
        mask = paths.masks[name].to(images.dtype)[:, :, None, None]
        hooks.append(network.get_submodule(path).register_forward_hook(lambda m, i, output, mask=mask: output * mask))
    with torch.no_grad():
        scores = network(images)
    for hook in hooks:
        hook.remove()
    return scores


def rows_of(paths, rows):
    """`paths` with the given rows, also the same one several times, as input rows."""
    masks = {name: mask[rows] for name, mask in paths.masks.items()}
    return Paths(masks, Rows.of_inputs(len(rows)), paths.sites, paths.manifest)


@pytest.mark.parametrize("row", ["cat", "dog", "bird"])
def test_one_row_multiplies_all_images_with_its_masks(plain, paths, images, row):
    restricted = restrict(plain, paths[row])
    expected = by_hand(plain, paths[row], images)
    torch.testing.assert_close(restricted(images), expected)
    assert restricted.row_names == (row,)


def test_open_masks_give_the_networks_own_scores(network, images):
    sites = find_sites(network, IMAGES)
    masks = {site.name: torch.ones(1, site.channels, dtype=torch.bool) for site in sites}
    whole = restrict(network, Paths(masks, Rows.of_inputs(1), sites, {"network": fingerprint(network)}))
    with torch.no_grad():
        assert torch.equal(whole(images), network(images))


def test_row_without_channels_leaves_the_classifiers_bias(plain, paths, images):
    scores = restrict(plain, paths["bird"])(images)
    assert torch.equal(scores, plain.classifier.bias.detach().expand(5, 3))


def test_many_rows_gate_image_by_image(plain, paths, images):
    restricted = restrict(plain, paths)
    torch.testing.assert_close(restricted(images[:3]), by_hand(plain, paths, images[:3]))


def test_rows_argument_picks_a_row_for_each_image(plain, paths, images):
    rows = torch.tensor([2, 0, 0, 1, 2])
    found = restrict(plain, paths)(images, rows)
    torch.testing.assert_close(found, by_hand(plain, rows_of(paths, rows), images))


def test_rows_argument_works_with_one_row(plain, paths, images):
    restricted = restrict(plain, paths["dog"])
    torch.testing.assert_close(restricted(images, torch.zeros(5, dtype=torch.long)), restricted(images))


def test_wrong_number_of_images_or_rows_is_refused_with_the_way_out(plain, paths, images):
    restricted = restrict(plain, paths)
    with pytest.raises(DataError, match="3 rows gate 3 images, found 5; give rows="):
        restricted(images)
    with pytest.raises(DataError, match=r"one position an image, found \(3,\) for 5"):
        restricted(images, torch.tensor([0, 1, 2]))


def test_no_rows_are_refused(plain, paths):
    with pytest.raises(PathsError, match="no rows to restrict the network to"):
        restrict(plain, paths[:0])


def test_another_network_is_refused_by_its_first_different_tensor(plain, paths):
    other = copy.deepcopy(plain)
    with torch.no_grad():
        other.features[2][1].bias[3] += 1
        other.classifier.weight += 1
    with pytest.raises(MismatchError, match=r"first difference at 'features\.2\.1\.bias', recorded 6 float32"):
        restrict(other, paths)


def test_check_can_be_left_out(paths, images):
    other = TinyPlain().randomised()
    found = restrict(other, paths["dog"], check=False)(images)
    torch.testing.assert_close(found, by_hand(other, paths["dog"], images))


def test_network_without_the_sites_is_refused_even_unchecked(paths):
    with pytest.raises(SiteError, match=r"no site 'features\.1/max_pool2d:0' in Sequential"):
        restrict(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), paths, check=False)


def test_network_is_untouched_and_shares_its_weights(plain, paths, images):
    with torch.no_grad():
        before = plain(images)
    state = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    restricted = restrict(plain, paths["bird"])
    restricted(images)
    with torch.no_grad():
        assert torch.equal(plain(images), before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in plain.state_dict().items())
    assert not any(module._forward_hooks for module in plain.modules())
    with torch.no_grad():
        plain.classifier.bias.fill_(7)
    assert torch.equal(restricted(images), torch.full((5, 3), 7.0))


def test_state_moves_to_another_type_and_leaves_the_network_behind(plain, paths, images):
    restricted = restrict(plain, paths["dog"])
    single = restricted(images)
    double = restricted.to(torch.float64)(images.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single)
    torch.testing.assert_close(double, by_hand(copy.deepcopy(plain).double(), paths["dog"], images.double()))
    assert all(parameter.dtype == torch.float32 for parameter in plain.parameters())


def test_masks_are_part_of_the_state(plain, paths):
    state = restrict(plain, paths["dog"]).state_dict()
    assert torch.equal(state["mask_0"], paths["dog"].masks["features.1/max_pool2d:0"])
    assert torch.equal(state["mask_1"], paths["dog"].masks["features.2.2/relu:0"])


def test_restricted_network_passes_gradients_to_images(plain, paths, images):
    images.requires_grad_()
    restrict(plain, paths["dog"])(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in plain.parameters())


def test_network_in_training_mode_is_restricted_in_evaluation_mode(plain, paths, images):
    expected = restrict(plain, paths["dog"])(images)
    plain.train()
    assert torch.equal(restrict(plain, paths["dog"])(images), expected)
    assert plain.training


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_restriction_works_in_every_gradient_mode(plain, paths, images, mode):
    expected = by_hand(plain, paths["dog"], images)
    with mode():
        torch.testing.assert_close(restrict(plain, paths["dog"])(images), expected)


def test_logits_are_remembered():
    class Answers(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = TinyPlain().randomised()

        def forward(self, images):
            return {"features": images, "scores": self.network(images)}

    network = Answers().eval()
    images = torch.randn(2, 3, 8, 8)
    name = "network.features.2.2/relu:0"
    paths = Paths.from_masks({name: torch.ones(1, 6, dtype=torch.bool)}, network, IMAGES, logits="scores")
    with torch.no_grad():
        assert torch.equal(restrict(network, paths)(images), network(images)["scores"])


def test_double_precision_network_is_restricted_in_double_precision(images):
    network = TinyPlain().randomised().double()
    name = "features.2.2/relu:0"
    paths = Paths.from_masks({name: torch.ones(1, 6, dtype=torch.bool)}, network, IMAGES.double())
    with torch.no_grad():
        assert torch.equal(restrict(network, paths)(images.double()), network(images.double()))
