"""Paths of inputs through a decoupled network: what its gates say, one row an input."""

import copy
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import unweave as uw
from tests.analysis.by_hand import Torn
from tests.decoupling.problems import IMAGES, Chain, Dense, Residual, choosy, settled
from unweave.data.labelled import labelled
from unweave.decoupling.network import decouple
from unweave.errors import DamagedImageError, DataError, NumericError, SettingError
from unweave.paths import Paths

NETWORKS = {"chain": Chain, "residual": Residual, "dense": Dense}
LABELS = [0, 1, 2, 0, 1]
# Controllers that were not trained leave whole layers without a filter now and then.
pytestmark = pytest.mark.filterwarnings("ignore:no filter is selected")


@cache
def _decoupled(kind):
    torch.manual_seed(0)
    return choosy(decouple(settled(kind()), IMAGES))


def decoupled(kind=Chain):
    return copy.deepcopy(_decoupled(kind))  # made once: a capture takes longer than all else here


def data():
    return TensorDataset(IMAGES, torch.tensor(LABELS))


@pytest.mark.parametrize("kind", NETWORKS.values(), ids=NETWORKS)
def test_masks_are_the_gates_and_scores_what_they_are_made_from(kind):
    network = decoupled(kind)
    paths = network.paths(IMAGES)
    gates = network.gates(IMAGES)
    for mask, score, gate in zip(paths.masks.values(), paths.scores.values(), gates.values(), strict=True):
        assert torch.equal(mask, gate.bool())
        assert torch.equal(mask, score > 0)
    assert len({tuple(torch.cat([mask[row] for mask in paths.masks.values()]).tolist()) for row in range(5)}) > 1


@pytest.mark.parametrize("kind", NETWORKS.values(), ids=NETWORKS)
def test_the_network_without_controllers_restricted_to_an_input_s_path_computes_the_same(kind):
    network = decoupled(kind)
    paths = network.paths(IMAGES)
    with torch.no_grad(), network.all_open():
        restricted = uw.restrict(network, paths)(IMAGES)
    with torch.no_grad():
        assert torch.allclose(restricted, network(IMAGES), atol=1e-6)
        assert not torch.allclose(restricted, network.plain()(IMAGES), atol=1e-3)


@pytest.mark.parametrize("kind", NETWORKS.values(), ids=NETWORKS)
def test_sites_are_those_of_the_network_s_graph(kind):
    network = decoupled(kind)
    sites = network.paths(IMAGES).sites
    found = uw.find_sites(network, IMAGES, list(sites.names))
    assert tuple(sites) == tuple(found)
    assert (sites.image_shape, sites.dtype, sites.logits) == (found.image_shape, found.dtype, found.logits)


def test_rows_keep_positions_labels_and_what_the_network_says():
    network = decoupled()
    paths = network.paths(data())
    rows = paths.rows
    assert (rows.kind, rows.names, rows.sources) == ("input", tuple("01234"), tuple("01234"))
    assert rows.labels == tuple(LABELS)
    assert rows.predictions == tuple(network(IMAGES).argmax(1).tolist())


def test_labels_of_a_tensor_are_unknown_unless_given():
    network = decoupled()
    assert network.paths(IMAGES).rows.labels == (-1,) * 5
    assert network.paths(IMAGES, labels=LABELS).rows.labels == tuple(LABELS)


def test_batches_do_not_change_paths():
    network = decoupled(Residual)
    whole = network.paths(data())
    assert network.paths(data(), batch=2) == whole
    assert network.paths(DataLoader(data(), batch_size=3)) == whole


def test_a_limit_takes_inputs_evenly_spread():
    paths = decoupled().paths(data(), limit=3)
    assert paths.rows.names == ("0", "2", "4")
    assert paths.rows.labels == (0, 2, 1)


def test_damaged_images_are_left_out_and_counted():
    network = decoupled()
    with pytest.warns(UserWarning, match="1 of 5 images cannot be read"):
        paths = network.paths(Torn(data(), damaged=[1]), batch=2)
    assert paths.rows.names == ("0", "2", "3", "4")
    assert paths.rows.labels == (0, 2, 0, 1)
    assert paths.manifest["damaged_images"] == 1
    whole = network.paths(IMAGES[[0, 2, 3, 4]])
    assert all(torch.equal(mask, whole.masks[name]) for name, mask in paths.masks.items())


def test_a_batch_of_damaged_images_alone_is_passed_over():
    with pytest.warns(UserWarning, match="2 of 5 images"):
        paths = decoupled().paths(Torn(data(), damaged=[2, 3]), batch=2)
    assert paths.rows.names == ("0", "1", "4")


def test_strict_refuses_a_damaged_image():
    with pytest.raises(DamagedImageError, match="image 1 is damaged"):
        decoupled().paths(Torn(data(), damaged=[1]), strict=True)


def test_a_layer_that_selects_no_filter_is_counted_and_named():
    network = decoupled()
    controller = network.controlled["third"].controller
    with torch.no_grad():
        controller.expand.weight.fill_(1.0)
        controller.reduce.weight.fill_(1.0)
        found = network.paths(IMAGES).scores["network.third/mul:0"][:, 0]
        # Every filter of the layer says the same; between the second and the third highest it is silent.
        low, high = found.sort().values[2:4]
        controller.expand.bias.copy_(controller.expand.bias * 0 + controller.expand.bias[0] - (low + high) / 2)
    with pytest.warns(UserWarning, match=r"no filter is selected in network.third/mul:0 for 3 of 5 inputs"):
        paths = network.paths(IMAGES)
    assert paths.manifest["inputs_without_filters"] == {"network.third/mul:0": 3}


@pytest.mark.filterwarnings("error:no filter is selected")
def test_an_open_network_has_whole_paths_and_no_warning():
    paths = decouple(settled(Chain()), IMAGES).paths(IMAGES)
    assert all(mask.all() for mask in paths.masks.values())
    assert paths.manifest["inputs_without_filters"] == {}


def test_the_manifest_says_of_which_network_and_images(tmp_path):
    network = decoupled()
    paths = network.paths(data())
    manifest = paths.manifest
    assert (manifest["method"], manifest["settings"]["keep"]) == ("decoupled", None)
    assert manifest["data"]["inputs"] == labelled(data()).fingerprint(np.arange(5))
    assert manifest["class_names"]["2"] == "2"
    paths.check(network)
    loaded = Paths.load(paths.save(tmp_path / "paths.safetensors"), network)
    assert loaded == paths
    assert all(torch.equal(loaded.scores[name], score) for name, score in paths.scores.items())
    with pytest.raises(uw.UnweaveError, match="controller"):
        paths.check(decouple(network.plain(), IMAGES))


def test_scores_are_left_out_where_they_are_not_wanted():
    network = decoupled()
    paths = network.paths(IMAGES, with_scores=False)
    assert paths.scores is None
    assert paths == network.paths(IMAGES)


def test_the_network_is_left_as_it_was():
    network = decoupled().train()
    network.controlled["second"].eval()
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    with torch.inference_mode():
        paths = network.paths(IMAGES)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert modes == [module.training for module in network.modules()]
    assert not next(iter(paths.masks.values())).is_inference()
    assert paths == network.eval().paths(IMAGES)


def test_a_layer_with_nan_is_named():
    network = decoupled()
    nn.init.constant_(network.controlled["third"].controller.expand.bias, float("nan"))
    with pytest.raises(NumericError, match=r"NaN or infinity in layer 'third' \(in images 0 to 4\)"):
        network.paths(IMAGES)


def test_nan_behind_the_last_layer_is_found():
    network = decoupled()
    nn.init.constant_(network.network.classifier.bias, float("nan"))
    with pytest.raises(NumericError, match="the class scores contain NaN"):
        network.paths(IMAGES)


@pytest.mark.parametrize(
    ("images", "settings", "error", "message"),
    [
        (IMAGES[:0], {}, DataError, "at least one"),
        (IMAGES.numpy(), {}, DataError, "torch.from_numpy"),
        (IMAGES[:, :2], {}, DataError, r"cannot take images of shape \(2, 8, 8\) and type float32"),
        (IMAGES.double(), {}, DataError, r"cannot take images of shape \(3, 8, 8\) and type float64"),
        (IMAGES, {"batch": 0}, SettingError, "batch must be a whole number"),
        (IMAGES, {"limit": True}, SettingError, "limit must be a whole number"),
        (IMAGES, {"labels": [0, 1]}, DataError, "one class index an image"),
        (IMAGES, {"labels": [0, 1, 2, 3, -2]}, DataError, "whole numbers from 0"),
    ],
)
def test_bad_input_is_refused(images, settings, error, message):
    with pytest.raises(error, match=message):
        decoupled().paths(images, **settings)


def test_images_of_several_sizes_are_refused():
    class Sizes(torch.utils.data.Dataset):
        targets = LABELS[:3]

        def __len__(self):
            return 3

        def __getitem__(self, position):
            return torch.zeros(3, 8 + position, 8), 0

    with pytest.raises(DataError, match=r"have shape \(3, 9, 8\), \(3, 8, 8\) is needed"):
        decoupled().paths(Sizes(), batch=1)
