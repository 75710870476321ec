import copy

import pytest
import torch
from torch import nn

from tests.surgery.cutting import cut, images, kept, operations, shape
from tests.tiny import TinyPlain, TinyResidual
from unweave.errors import DataError, ExtractionError, MismatchError, PathsError, SettingError
from unweave.paths import Paths
from unweave.surgery import checking
from unweave.surgery.extract import extract

SITE = "features.0.2/relu:0"
LAST = "features.2.2/relu:0"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return TinyPlain().randomised()


@pytest.fixture(scope="module")
def example():
    return images(3, 8, 8)


@pytest.fixture(scope="module")
def paths(network, example):
    """Two classes: the first keeps the first two channels of the first site, the second the last two."""
    masks = {SITE: torch.cat([kept(4, 0, 1), kept(4, 2, 3)]), LAST: torch.ones(2, 6, dtype=torch.bool)}
    return Paths.from_masks(masks, network, example, classes=[0, 2], names=["cat", "dog"])


@pytest.fixture(scope="module")
def small(network, paths, example):
    return extract(network, paths["cat"], example)


def test_weights_are_its_own_and_named_as_before(network, small):
    assert {"features.0.0.weight", "features.2.0.bias", "classifier.weight"} <= small.state_dict().keys()
    theirs = {one.untyped_storage().data_ptr() for one in network.parameters()}
    assert not theirs & {one.untyped_storage().data_ptr() for one in small.parameters()}
    assert not small.training


def test_convolutions_are_in_channels_last_order_unless_channels_are_moved(small):
    assert small.state_dict()["features.2.0.weight"].is_contiguous(memory_format=torch.channels_last)
    masks = {"stem.2/relu:0": kept(4, 0, 1), "relu:0": kept(4, 1, 2, 3)}
    moving = cut(TinyResidual().randomised(), images(3, 8, 8), masks)
    assert moving.state_dict()["second.weight"].is_contiguous()


def test_it_takes_any_batch_size(small):
    assert [tuple(small(images(3, 8, 8, count=count)).shape) for count in (1, 2, 5)] == [(1, 3), (2, 3), (5, 3)]


def test_it_can_be_trained(small):
    mine = copy.deepcopy(small)
    optimiser = torch.optim.SGD(mine.parameters(), 0.1)
    before = small(images(3, 8, 8)).detach()
    nn.functional.cross_entropy(mine(images(3, 8, 8)), torch.tensor([0, 1, 2])).backward()
    assert all(one.grad is not None for one in mine.parameters())
    optimiser.step()
    assert not torch.equal(mine(images(3, 8, 8)), before)
    assert torch.equal(small(images(3, 8, 8)), before)
    assert mine.row == "cat"


def test_it_says_what_it_is(small):
    found = small.description
    assert (small.row, small.classes, found.network_name) == ("cat", (0, 1, 2), "TinyPlain")
    assert found.channels == {SITE: (2, 4), LAST: (6, 6)}
    assert 0 <= found.difference < 1e-5


def test_a_union_is_one_row(network, paths, example):
    union = extract(network, paths["cat"] | paths["dog"], example)
    assert shape(union, "features.0.0.weight") == (4, 3, 3, 3)
    assert paths.any() == (paths["cat"] | paths["dog"])


def test_the_classifier_is_cut_to_classes_in_the_order_given(network, paths, example, small):
    two = extract(network, paths["cat"], example, classes=[2, 0])
    assert two.classes == (2, 0)
    assert shape(two, "classifier.weight") == (2, 6)
    assert operations(two)[-1] == "linear"
    assert torch.allclose(two(example), small(example)[:, [2, 0]], atol=1e-6)


def test_widths_are_rounded_up_with_channels_of_zeros(network, example):
    rounded = cut(network, example, {SITE: kept(4, 1), LAST: kept(6, 0, 2, 5)}, round_to=2)
    assert shape(rounded, "features.0.0.weight") == (2, 3, 3, 3)
    assert shape(rounded, "features.2.0.weight") == (4, 2, 3, 3)
    assert not rounded.state_dict()["features.2.0.weight"][3].any()
    assert not rounded.state_dict()["features.2.0.weight"][:, 1].any()


def test_sums_of_rounded_widths_move_nothing():
    network = TinyResidual().randomised()
    masks = {"stem.2/relu:0": kept(4, 0, 1, 2), "relu:0": kept(4, 0, 1, 2)}
    rounded = cut(network, images(3, 8, 8), masks, round_to=4)
    assert shape(rounded, "first.weight") == (4, 4, 3, 3)
    assert not {"index_add", "index_select"} & set(operations(rounded))


def test_double_networks_stay_double():
    network = TinyPlain().double().randomised()
    double = cut(network, images(3, 8, 8).double(), {SITE: kept(4, 0, 3)})
    assert {one.dtype for one in double.parameters()} == {torch.float64}
    assert double.description.difference < 1e-12


def test_the_network_is_not_changed(network, paths, example):
    before = copy.deepcopy(network.state_dict())
    network.train()
    extract(network, paths["cat"], example)
    assert network.training
    network.eval()
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())


def test_several_rows_are_refused_with_what_to_give(network, paths, example):
    with pytest.raises(PathsError, match=r"one row, found 2; .*paths\['cat'\] \| paths\['dog'\].*paths.any\(\)"):
        extract(network, paths, example)


def test_the_row_of_an_input_is_refused(network, example):
    of_inputs = Paths.from_masks({SITE: kept(4, 0)}, network, example)
    with pytest.raises(PathsError, match="path of one input"):
        extract(network, of_inputs, example)


def test_another_network_is_refused(paths, example):
    torch.manual_seed(5)
    with pytest.raises(MismatchError, match="another network"):
        extract(TinyPlain().randomised(), paths["cat"], example)


def test_a_chain_whose_site_keeps_nothing_is_refused_by_name(network, example):
    empty = Paths.from_masks({SITE: kept(4, 0), LAST: kept(6)}, network, example, classes=[0])
    with pytest.raises(ExtractionError, match=r"no channel is kept at 'features.2.2/relu:0'.*same for every image"):
        extract(network, empty, example)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(torch.zeros(2, 3, 4, 4), "images .batch, 3, 8, 8."), (torch.zeros(0, 3, 8, 8), "found shape"), (3, "found int"),
     (torch.zeros(2, 3, 8, 8).double(), "float64.*float32")],
)  # fmt: skip
def test_other_images_are_refused(network, paths, wrong, message):
    with pytest.raises(DataError, match=message):
        extract(network, paths["cat"], wrong)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"classes": [3]}, "no class 3"), ({"classes": []}, "none given"), ({"classes": [1, 1]}, "twice"),
     ({"round_to": 0}, "positive whole number")],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(network, paths, example, settings, message):
    with pytest.raises(SettingError, match=message):
        extract(network, paths["cat"], example, **settings)


def test_a_difference_is_refused_and_named(network, paths, example, monkeypatch):
    """As if a rule were wrong: the module that is checked is another one than the masks say."""
    monkeypatch.setattr("unweave.surgery.extract.restricted", lambda captured, one: captured.module())
    with pytest.raises(ExtractionError, match=r"differs from the restricted one by \d.*of the largest score"):
        extract(network, paths["cat"], example)


def test_nan_is_a_difference():
    with pytest.raises(ExtractionError, match="differs"):
        checking.check_equal(lambda x: x * float("nan"), lambda x: x, torch.ones(2, 3), [0, 1, 2])
