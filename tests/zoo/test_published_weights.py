"""Weights as checkpoints are published: names of wrappers and of older versions, other heads, old pickles."""

import pickletools
import re
import struct

import pytest
import torch
from torch import nn
from torchvision.models import DenseNet, resnet18

from unweave.errors import SettingError
from unweave.zoo.models import load_model
from unweave.zoo.weights import classes_in, load_state, load_weights

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def _dense():
    return DenseNet(growth_rate=4, block_config=(2, 1), num_init_features=8, num_classes=5).eval()


def test_places365_s_checkpoint_of_a_torchvision_network_is_loaded_with_its_365_classes(tmp_path):
    torch.manual_seed(0)
    source = resnet18(num_classes=365).eval()
    state = {f"module.{name}": one for name, one in source.state_dict().items() if "num_batches_tracked" not in name}
    file = tmp_path / "resnet18_places365.pth.tar"
    torch.save({"epoch": 90, "arch": "resnet18", "state_dict": state, "best_prec1": 54.2}, file)
    network = load_model("torchvision:resnet18", file)
    with torch.no_grad():
        assert torch.equal(network(IMAGES), source(IMAGES))
    assert network(IMAGES).shape == (2, 365)


def test_the_head_may_be_a_convolution(tmp_path):
    source = load_model("torchvision:squeezenet1_1", "random").state_dict()
    source |= {f"classifier.1.{part}": source[f"classifier.1.{part}"][:7].clone() for part in ("weight", "bias")}
    torch.save(source, tmp_path / "seven.pt")
    found = load_model("torchvision:squeezenet1_1", tmp_path / "seven.pt").state_dict()
    assert torch.equal(found["classifier.1.weight"], source["classifier.1.weight"])


def test_timm_s_networks_get_the_head_of_the_file(tmp_path):
    timm = pytest.importorskip("timm")
    source = timm.create_model("resnet10t", num_classes=12)
    torch.save(source.state_dict(), tmp_path / "twelve.pt")
    found = load_model("timm:resnet10t", tmp_path / "twelve.pt")
    assert torch.equal(found.fc.weight, source.fc.weight)


def _mixed(width, classes):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.Flatten(), nn.Linear(width, classes))


@pytest.mark.parametrize(
    ("width", "classes", "found"),
    [(4, 7, 7), (4, 3, None), (6, 3, None), (6, 7, None)],  # a wider layer is no head: the next one reads it
)
def test_classes_are_told_where_only_the_head_differs(width, classes, found):
    assert classes_in(_mixed(width, classes).state_dict(), _mixed(4, 3)) == found


def test_heads_that_contradict_each_other_tell_no_classes():
    state = _mixed(4, 3).state_dict()
    state |= {"2.weight": torch.zeros(7, 4), "2.bias": torch.zeros(8)}
    assert classes_in(state, _mixed(4, 3)) is None


@pytest.mark.parametrize(
    "made",
    [
        lambda *shape: torch.zeros(1).expand(10**9, *shape),
        lambda *shape: torch.sparse_coo_tensor(size=(10**9, *shape), check_invariants=True),
        lambda *shape: torch.zeros(0, *shape),
    ],
)
def test_a_head_that_claims_more_rows_than_it_holds_or_has_none_tells_no_classes(made):
    state = _mixed(4, 3).state_dict() | {"2.weight": made(4), "2.bias": made()}
    assert classes_in(state, _mixed(4, 3)) is None


def test_names_of_old_densenets_are_those_of_today():
    torch.manual_seed(1)
    source, network = _dense(), _dense()
    old = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", name): one for name, one in source.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    load_state(network, old, "densenet.pth")
    with torch.no_grad():
        assert torch.equal(network(IMAGES), source(IMAGES))


def test_a_wrapper_of_a_part_is_taken_off():
    source, network = _mixed(4, 3), _mixed(4, 3)
    source, network = (nn.ModuleDict({"features": one[0], "classifier": one[2]}) for one in (source, network))
    state = {name.replace("features.", "features.module."): one for name, one in source.state_dict().items()}
    assert set(state) == {f"{part}.{kind}" for part in ("features.module", "classifier") for kind in ("weight", "bias")}
    load_state(network, state, "vgg16_best.pth.tar")
    assert torch.equal(network["features"].weight, source["features"].weight)


def test_a_name_in_two_spellings_is_refused():
    network = _dense()
    name = "features.denseblock1.denselayer1.norm1.weight"
    state = {**network.state_dict(), name.replace("norm1", "norm.1"): torch.zeros(8)}
    with pytest.raises(SettingError, match=r"'features.denseblock1.denselayer1.norm.1.weight' is \(8,\) there and abs"):
        load_state(network, state, "both.pt")


def test_only_what_is_named_is_left_out():
    network = _mixed(4, 3)
    state = {**network.state_dict(), "extra.weight": torch.zeros(2)}
    load_state(network, state, "more.pt", without=("extra.",))
    with pytest.raises(SettingError, match=r"'extra.weight'"):
        load_state(network, state, "more.pt")


def _as_python_2_wrote_it(content):
    """A file of `torch.save` as Python 2 made it on a GPU: its pickles hold bytes where Python 3 writes text."""
    written, rest = b"", content
    for _ in range(5):  # magic number, version, machine, what was saved, names of storages
        operations = [*pickletools.genops(rest)]
        ends = [position for _, _, position in operations[1:]] + [operations[-1][2] + 1]
        for (operation, value, start), end in zip(operations, ends, strict=True):
            piece = rest[start:end]
            if operation.name == "BINUNICODE":
                text = value.replace("cpu", "cuda:0").encode("latin1")
                piece = b"U" + struct.pack("B", len(text)) + text
            elif operation.name == "GLOBAL" and value == "torch FloatStorage":
                piece = b"ctorch.cuda\nFloatStorage\n"
            written += piece
        rest = rest[ends[-1] :]
    return written + rest


def test_checkpoints_that_python_2_wrote_on_a_gpu_are_read(tmp_path):
    torch.manual_seed(2)
    source, network = _mixed(4, 3), _mixed(4, 3)
    file = tmp_path / "old.pth.tar"
    torch.save({"arch": "r\u00e9seau", "state_dict": source.state_dict()}, file, _use_new_zipfile_serialization=False)
    file.write_bytes(_as_python_2_wrote_it(file.read_bytes()))
    assert b"r\xe9seau" in file.read_bytes()
    load_weights(network, file)
    assert torch.equal(network[2].weight, source[2].weight)
