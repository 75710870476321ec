"""Class scores of a network for images through given masks."""

import numpy as np
import pytest
import torch

from tests.analysis.by_hand import ReadOut, Torn, keeping, pictures
from tests.tiny import labelled_noise
from unweave.analysis.predictions import Predictor, image_batches, left_out
from unweave.data.labelled import labelled
from unweave.errors import DataError, MismatchError
from unweave.network.sites import find_sites
from unweave.paths import Paths
from unweave.paths.restrict import restrict

IMAGES = pictures([0, 1, 2, 3]).tensors[0]


def test_class_scores_are_those_of_the_network_and_of_its_rows():
    network = ReadOut()
    predictor = Predictor.of(network, keeping(network, [[0], [0, 2]]))
    assert predictor.original(IMAGES)[1].tolist() == [0, 1, 0, 0.25]
    assert predictor.original(IMAGES).argmax(1).tolist() == [0, 1, 2, 3]
    assert predictor.through(0, IMAGES)[1].tolist() == [0, 0, 0, 0.25]
    assert predictor.through(0, IMAGES).argmax(1).tolist() == [0, 3, 3, 3]
    assert predictor.through(1, IMAGES).argmax(1).tolist() == [0, 3, 2, 3]


def test_class_scores_of_a_low_precision_network_can_be_read():
    network = ReadOut().bfloat16()
    paths = keeping(network, [[0]], sites=find_sites(network, torch.zeros(2, 4, 2, 2, dtype=torch.bfloat16)))
    assert Predictor.of(network, paths).original(IMAGES.bfloat16())[0].tolist() == [1, 0, 0, 0.25]


def test_rows_of_other_paths_can_be_used():
    network = ReadOut()
    predictor = Predictor.of(network, keeping(network, [[0]]))
    assert predictor.through(0, IMAGES, keeping(network, [[1]])).argmax(1).tolist() == [3, 1, 3, 3]
    assert predictor.through(0, IMAGES).argmax(1).tolist() == [0, 3, 3, 3]


def test_predictions_agree_with_the_restricted_network(network):
    images, _ = labelled_noise(40).tensors
    sites = find_sites(network, images[:2])
    masks = {site.name: torch.rand(2, site.channels) > 0.3 for site in sites}
    paths = Paths.from_masks(masks, network, images[:2], classes=[0, 1])
    predictor = Predictor.of(network, paths)
    with torch.no_grad():
        assert predictor.original(images).argmax(1).tolist() == network(images).argmax(1).tolist()
        for row in (0, 1):
            expected = restrict(network, paths[row])(images).argmax(1)
            assert predictor.through(row, images).argmax(1).tolist() == expected.tolist()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_predictors_work_where_gradients_are_off(mode):
    network = ReadOut()
    with mode():
        predictor = Predictor.of(network, keeping(network, [[0]]))
        assert predictor.through(0, IMAGES).argmax(1).tolist() == [0, 3, 3, 3]


def test_network_is_left_as_it_was():
    network = ReadOut().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    Predictor.of(network, keeping(network, [[0]])).original(IMAGES)
    assert network.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_another_network_is_refused():
    network, other = ReadOut(), ReadOut()
    with torch.no_grad():
        other.conv.weight[0] = 2
    with pytest.raises(MismatchError, match=r"first difference at 'conv.weight'"):
        Predictor.of(other, keeping(network, [[0]]))


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (64, [64]), (130, [64, 64, 2])])
def test_images_come_in_batches_in_the_order_asked_for(count, sizes):
    data, steps = labelled(pictures([0, 1, 2, 3] * 50)), []
    positions = np.arange(count)[::-1]
    batches = list(image_batches(data, positions, steps.append))
    assert [len(images) for _, images in batches] == sizes == steps
    assert [p for chosen, _ in batches for p in chosen.tolist()] == positions.tolist()
    assert all(torch.equal(images, data.images(chosen)) for chosen, images in batches)


def test_damaged_images_are_left_out_and_progress_still_ends_at_all():
    data, steps = labelled(Torn(pictures([0, 1, 2, 3] * 50), {3, *range(64, 128)})), []
    batches = list(image_batches(data, np.arange(200), steps.append))
    assert [len(positions) for positions, _ in batches] == [63, 64, 8]
    assert batches[0][0].tolist() == [0, 1, 2, *range(4, 64)]
    assert all(torch.equal(images, data.images(positions)) for positions, images in batches)
    assert steps == [64, 64, 64, 8]


def test_images_left_out_are_said():
    data = labelled(pictures([0, 1]))
    assert [left_out(data, 5, read) for read in (5, 4, 2)] == [
        "",
        "; 1 damaged image left out",
        "; 3 damaged images left out",
    ]
    with pytest.raises(DataError, match="none of the 5 images asked for can be read: all are damaged"):
        left_out(data, 5, 0)


def test_images_of_unknown_class_are_left_out_too():
    data = labelled(Torn(pictures([0, 1, 2, 3]), {2}, known=False))
    assert left_out(data, 3, 2) == "; 2 damaged images left out"
