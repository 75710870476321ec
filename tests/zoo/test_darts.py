"""DARTS-Net: against published numbers and names, its cells worked out from their formula, and taken apart."""

import pytest
import torch
from torch.nn import functional
from torch.utils.data import TensorDataset
from torch.utils.flop_counter import FlopCounterMode

import unweave as uw
from tests.decoupling.problems import settled
from unweave.zoo.darts import CifarDarts, ImageNetDarts
from unweave.zoo.models import load_model, published_preprocessing

IMAGES = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))
SITES = ["stem1.0/relu:0", "stem1.2/batch_norm:0", "cells.0/cat:0", "cells.1/cat:0", "cells.2/cat:0"]


@pytest.fixture(scope="module")
def network():
    """Three cells, of which the first keeps the size and the others halve it."""
    torch.manual_seed(0)
    return settled(ImageNetDarts(3, channels=4, cells=3))


@pytest.fixture(scope="module")
def paths(network):
    with torch.no_grad():
        answers = network(IMAGES).argmax(1)
    return uw.disentangle(network, TensorDataset(IMAGES, answers), SITES, "released", beta=0.1, passes=1)


@pytest.fixture(scope="module")
def published():
    """Both forms as published, without memory for the weights."""
    with torch.device("meta"):
        return {"imagenet": ImageNetDarts().eval(), "cifar": CifarDarts().eval()}


def test_parameters_are_as_many_as_published(published):
    counts = {name: sum(one.numel() for one in network.parameters()) for name, network in published.items()}
    assert counts == {"imagenet": 4_718_752, "cifar": 3_349_342}  # 4.719 and 3.349 million


def test_multiply_accumulates_are_those_of_the_convolutions_and_the_linear_layer(published):
    with FlopCounterMode(display=False) as counter:
        published["imagenet"](torch.zeros(1, 3, 224, 224, device="meta"))
    assert counter.get_total_flops() // 2 == 529_143_552 + 768 * 1000


# As in the published program's modules: a first cell behind the halving stem, and a cell that halves the size.
IMAGENET_NAMES = {
    "stem0.0.weight": (24, 3, 3, 3),
    "stem0.1.running_mean": (24,),
    "stem0.3.weight": (48, 24, 3, 3),
    "stem0.4.weight": (48,),
    "stem1.1.weight": (48, 48, 3, 3),
    "stem1.2.bias": (48,),
    "cells.0.preprocess0.conv_1.weight": (24, 48, 1, 1),
    "cells.0.preprocess0.conv_2.weight": (24, 48, 1, 1),
    "cells.0.preprocess0.bn.weight": (48,),
    "cells.0.preprocess1.op.1.weight": (48, 48, 1, 1),
    "cells.0.preprocess1.op.2.running_var": (48,),
    "cells.0._ops.0.op.1.weight": (48, 1, 3, 3),
    "cells.0._ops.0.op.2.weight": (48, 48, 1, 1),
    "cells.0._ops.0.op.3.weight": (48,),
    "cells.0._ops.4.op.5.weight": (48, 1, 3, 3),
    "cells.0._ops.4.op.6.weight": (48, 48, 1, 1),
    "cells.0._ops.4.op.7.bias": (48,),
    "cells.0._ops.7.op.1.weight": (48, 1, 3, 3),
    "cells.0._ops.7.op.3.weight": (48,),
    "cells.1.preprocess0.op.1.weight": (48, 48, 1, 1),
    "cells.1.preprocess1.op.1.weight": (48, 192, 1, 1),
    "cells.4.preprocess0.op.1.weight": (96, 192, 1, 1),
    "cells.5.preprocess0.conv_2.weight": (48, 192, 1, 1),
    "cells.9.preprocess1.op.1.weight": (192, 384, 1, 1),
    "classifier.weight": (1000, 768),
}
CIFAR_NAMES = {
    "stem.0.weight": (108, 3, 3, 3),
    "stem.1.running_var": (108,),
    "cells.0.preprocess0.op.1.weight": (36, 108, 1, 1),
    "cells.1.preprocess0.op.1.weight": (36, 108, 1, 1),
    "cells.6.preprocess0.op.1.weight": (72, 144, 1, 1),
    "cells.7.preprocess0.conv_1.weight": (36, 144, 1, 1),
    "cells.13.preprocess1.op.1.weight": (144, 288, 1, 1),
    "classifier.weight": (10, 576),
}


@pytest.mark.parametrize(("form", "names"), [("imagenet", IMAGENET_NAMES), ("cifar", CIFAR_NAMES)])
def test_parameters_have_the_names_and_shapes_of_published_checkpoints(published, form, names):
    state = published[form].state_dict()
    assert {name: tuple(state[name].shape) for name in names if name in state} == names


def test_edges_without_weights_have_no_names(published):
    state = published["imagenet"].state_dict()
    edges = {cell: {name.split(".")[3] for name in state if name.startswith(f"cells.{cell}._ops.")} for cell in (0, 4)}
    assert edges == {0: {"0", "1", "2", "3", "4", "7"}, 4: set()}  # a reduction cell only pools and skips


def _layers(state, prefix, value, *layers):
    """ReLU, then convolutions and norms of `op`, by their published numbers."""
    for number, keywords in layers:
        weight = state[f"{prefix}.op.{number}.weight"]
        if keywords is None:
            mean, variance = state[f"{prefix}.op.{number}.running_mean"], state[f"{prefix}.op.{number}.running_var"]
            value = functional.batch_norm(value, mean, variance, weight, state[f"{prefix}.op.{number}.bias"])
        else:
            value = functional.conv2d(value if number not in (1, 5) else value.relu(), weight, **keywords)
    return value


@torch.no_grad()
def test_a_normal_cell_is_the_formula_of_its_genotype(network):
    cell, width = network.cells[0], 4
    state = cell.state_dict()
    generator = torch.Generator().manual_seed(2)
    before, previous = (torch.randn(1, width, size, size, generator=generator) for size in (8, 4))
    depthwise = {"padding": 1, "groups": width}
    separable = ((1, depthwise), (2, {}), (3, None), (5, depthwise), (6, {}), (7, None))
    halves = [
        functional.conv2d(before.relu()[:, :, start:, start:], state[f"preprocess0.conv_{start + 1}.weight"], stride=2)
        for start in (0, 1)
    ]
    norm = [state[f"preprocess0.bn.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    first = functional.batch_norm(torch.cat(halves, 1), *norm)
    second = _layers(state, "preprocess1", previous, (1, {}), (2, None))
    third = _layers(state, "_ops.0", first, *separable) + _layers(state, "_ops.1", second, *separable)
    fourth = _layers(state, "_ops.2", first, *separable) + _layers(state, "_ops.3", second, *separable)
    fifth = _layers(state, "_ops.4", second, *separable) + first
    dilated = ((1, {"padding": 2, "dilation": 2, "groups": width}), (2, {}), (3, None))
    sixth = first + _layers(state, "_ops.7", third, *dilated)
    torch.testing.assert_close(cell(before, previous), torch.cat([third, fourth, fifth, sixth], 1))


@torch.no_grad()
def test_a_reduction_cell_pools_and_skips(network):
    cell = network.cells[1]
    generator = torch.Generator().manual_seed(3)
    before, previous = torch.randn(1, 4, 4, 4, generator=generator), torch.randn(1, 16, 4, 4, generator=generator)
    first, second = cell.preprocess0(before), cell.preprocess1(previous)
    pools = [functional.max_pool2d(value, 3, 2, 1) for value in (first, second)]
    third = pools[0] + pools[1]
    expected = torch.cat([third, third + pools[1], pools[0] + third, third + pools[1]], 1)
    assert torch.equal(cell(before, previous), expected)


@torch.no_grad()
def test_the_average_is_the_published_pool_of_seven_at_224_pixels(network):
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(4))
    kept = []
    handle = network.cells[-1].register_forward_hook(lambda module, values, result: kept.append(result))
    scores = network(image)
    handle.remove()
    assert kept[0].shape == (1, 64, 7, 7)
    pooled = functional.avg_pool2d(kept[0], 7).flatten(1)
    torch.testing.assert_close(scores, network.classifier(pooled))


def test_published_checkpoint_is_loaded_without_its_auxiliary_head(tmp_path):
    torch.manual_seed(5)
    source = ImageNetDarts(365)
    state = {f"module.{name}": one for name, one in source.state_dict().items() if "num_batches_tracked" not in name}
    state["module.auxiliary_head.features.2.weight"] = torch.zeros(128, 768, 1, 1)
    state["module.auxiliary_head.classifier.weight"] = torch.zeros(365, 768)
    torch.save({"epoch": 250, "state_dict": state, "best_acc_top1": 50.0}, tmp_path / "darts.pth.tar")
    found = load_model("zoo:darts_imagenet", tmp_path / "darts.pth.tar").state_dict()
    assert found.keys() == source.state_dict().keys()
    assert all(torch.equal(found[name], one) for name, one in source.state_dict().items())
    assert published_preprocessing("zoo:darts_imagenet") == ("imagenet", 224)


def test_cifar_checkpoint_is_loaded_without_its_auxiliary_head(tmp_path):
    source = CifarDarts(100)
    torch.save({**source.state_dict(), "auxiliary_head.classifier.bias": torch.zeros(100)}, tmp_path / "darts.pt")
    found = load_model("zoo:darts_cifar", tmp_path / "darts.pt")
    assert torch.equal(found.classifier.weight, source.classifier.weight)


def test_the_cifar_form_keeps_the_size_in_its_stem():
    network = CifarDarts(7, channels=4, cells=3).eval()
    sizes = []
    for cell in network.cells:
        cell.register_forward_hook(lambda module, values, result: sizes.append(tuple(result.shape[1:])))
    assert network(IMAGES[:2]).shape == (2, 7)
    assert sizes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_cells_that_two_others_read_are_sites_by_name(paths):
    assert [(site.name, site.channels, *site.shape[1:]) for site in paths.sites] == [
        *(("stem1.0/relu:0", 4, 8, 8), ("stem1.2/batch_norm:0", 4, 4, 4)),
        *(("cells.0/cat:0", 16, 4, 4), ("cells.1/cat:0", 32, 2, 2), ("cells.2/cat:0", 64, 1, 1)),
    ]


@torch.no_grad()
def _masked(network, row, images):
    """The network's scores with masks as in the published program, where the second stem rectifies, in place, what the
    mask of the first leaves."""
    gated = dict(zip([network.stem0, network.stem1, *network.cells], SITES, strict=True))
    handles = [_gated(module, row.masks[site][0]) for module, site in gated.items()]
    scores = network(images)
    for handle in handles:
        handle.remove()
    return scores


def _gated(module, mask):
    return module.register_forward_hook(lambda module, values, result: result * mask.view(1, -1, 1, 1))


@torch.no_grad()
def test_a_mask_on_a_cell_reaches_both_cells_that_read_it(network, paths):
    assert 0 < int(paths[0].masks["cells.0/cat:0"].sum()) < 16
    torch.testing.assert_close(uw.restrict(network, paths[0])(IMAGES[:4]), _masked(network, paths[0], IMAGES[:4]))


@torch.no_grad()
def test_a_class_s_part_of_the_network_is_extracted(network, paths):
    small = uw.extract(network, paths[-1], IMAGES[:2])
    expected = _masked(network, paths[-1], IMAGES[:4])
    torch.testing.assert_close(small(IMAGES[:4]), expected, rtol=1e-4, atol=1e-5)
    numbers = [sum(one.numel() for one in kind.state_dict().values()) for kind in (small, network)]
    assert numbers[0] < 0.9 * numbers[1]
