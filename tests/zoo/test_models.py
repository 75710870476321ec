"""Networks by name, in every form that MODEL has."""

import os
import sys
import types
import urllib.error
import urllib.request

import pytest
import torch
from safetensors.torch import save_file

from tests.tiny import TinyPlain
from unweave.errors import MissingExtraError, SettingError
from unweave.network.sites import find_sites
from unweave.zoo import models
from unweave.zoo.cifar_resnet import CifarResNet
from unweave.zoo.digits import train_digits_network
from unweave.zoo.models import load_model, published_preprocessing

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))

USER_FILE = """
import torch
from torch import nn

def tiny():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3)).train()

def number():
    return 3

def hungry(channels):
    return nn.Linear(channels, 3)

def broken():
    raise FileNotFoundError("no weights here")

class Stubborn(nn.Linear):
    def train(self, mode=True):
        raise RuntimeError("always learning")

def stubborn():
    return Stubborn(3, 3)
"""


@pytest.fixture
def user_file(tmp_path):
    file = tmp_path / "networks.py"
    file.write_text(USER_FILE)
    return file


def _saved(state, file):
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return file


def test_torchvision_network_without_trained_weights():
    network = load_model("torchvision:squeezenet1_1", "random")
    assert type(network).__name__ == "SqueezeNet"
    assert not any(module.training for module in network.modules())


def test_torchvision_networks_that_warn_about_their_initialisation_do_not():
    assert type(load_model("torchvision:googlenet", "random")).__name__ == "GoogLeNet"


def test_torchvision_network_takes_weights_from_a_file(tmp_path):
    torch.manual_seed(3)
    source = load_model("torchvision:squeezenet1_1", "random")
    file = _saved(source.state_dict(), tmp_path / "weights.safetensors")
    found = load_model("torchvision:squeezenet1_1", file).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in source.state_dict().items())


def test_unknown_torchvision_network_is_refused():
    with pytest.raises(SettingError, match="torchvision has no classification network 'resnet1'"):
        load_model("torchvision:resnet1", "random")
    with pytest.raises(SettingError, match="no classification network 'fcn_resnet50'"):
        load_model("torchvision:fcn_resnet50", "random")


PUBLISHED = "squeezenet1_1-b8a52dc0.pth"


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    """The folder in which torchvision looks for files it has downloaded before, and no way to download any."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)

    def offline(request):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", offline)
    return folder


def test_torchvision_loads_the_published_file_by_its_name(torch_home):
    torch.manual_seed(3)
    state = load_model("torchvision:squeezenet1_1", "random").state_dict()
    torch.save(state, torch_home / PUBLISHED)
    network = load_model("torchvision:squeezenet1_1")
    assert not network.training
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in state.items())


def test_torchvision_loads_the_weights_that_are_named(torch_home):
    torch.manual_seed(4)
    state = load_model("torchvision:squeezenet1_1", "random").state_dict()
    torch.save(state, torch_home / PUBLISHED)
    network = load_model("torchvision:squeezenet1_1", "IMAGENET1K_V1")
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in state.items())
    with pytest.raises(SettingError, match="no weights file IMAGENET1K_V2"):
        load_model("torchvision:squeezenet1_1", "IMAGENET1K_V2")


def test_failed_download_says_what_to_type(torch_home, capsys):
    message = (
        r"weights of squeezenet1_1 cannot be downloaded \(URLError: .*no route to host.*\); give --weights FILE, or"
    )
    with pytest.raises(SettingError, match=message):
        load_model("torchvision:squeezenet1_1")
    assert capsys.readouterr().out == ""


def test_downloaded_file_of_other_content_than_its_name_says_is_refused(torch_home, tmp_path, monkeypatch):
    torch.save(load_model("torchvision:squeezenet1_1", "random").state_dict(), tmp_path / "other.pth")
    served = (tmp_path / "other.pth").as_uri()
    monkeypatch.setattr(torch.hub, "urlopen", lambda request: urllib.request.urlopen(served))
    with pytest.raises(SettingError, match=r"torchvision cannot load squeezenet1_1 \(RuntimeError: invalid hash value"):
        load_model("torchvision:squeezenet1_1")
    assert list(torch_home.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no weights"])
def test_damaged_published_file_is_refused_in_one_line(torch_home, content):
    (torch_home / PUBLISHED).write_bytes(content)
    with pytest.raises(SettingError, match=r"cannot load squeezenet1_1 .*; remove a damaged file") as caught:
        load_model("torchvision:squeezenet1_1")
    assert len(str(caught.value).splitlines()) == 1


class _Villain:
    """Makes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def test_code_in_a_published_file_does_not_run(torch_home, tmp_path, monkeypatch):
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    torch.save({"classifier.1.weight": _Villain(tmp_path / "made")}, torch_home / PUBLISHED)
    with pytest.raises(SettingError, match="torchvision cannot load squeezenet1_1"):
        load_model("torchvision:squeezenet1_1")
    assert not (tmp_path / "made").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_weights_that_do_not_fit_name_the_tensor(tmp_path):
    state = load_model("torchvision:squeezenet1_1", "random").state_dict()
    state["features.0.weight"] = state["features.0.weight"][:7].clone()
    state["classifier.1.bias"] = state["classifier.1.bias"][:9].clone()
    message = r"'features.0.weight' is \(7, 3, 3, 3\) there and \(64, 3, 3, 3\) here"
    with pytest.raises(SettingError, match=message):
        load_model("torchvision:squeezenet1_1", _saved(state, tmp_path / "seven.pt"))


@pytest.mark.parametrize(
    "name", ["resnet18", "torchvision", "torchvision:", "keras:resnet18", "networks.py", "zoo", "zoo:", ""]
)
def test_names_of_no_model_are_refused(name):
    with pytest.raises(SettingError, match=r"no model .*; give torchvision:NAME, timm:NAME, hf:NAME, zoo:NAME or"):
        load_model(name)


def test_missing_timm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    message = r"timm is not installed; type: pip install 'unweave\[timm\]'"
    with pytest.raises(MissingExtraError, match=message) as caught:
        load_model("timm:convnext_tiny")
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize(
    ("mean", "deviation", "expected"),
    [
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), ("imagenet", 288)),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), ("signed", 288)),
        ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0), None),
    ],
)
def test_timm_networks_get_the_scaling_and_size_they_publish(monkeypatch, mean, deviation, expected):
    published = types.SimpleNamespace(mean=mean, std=deviation, input_size=(3, 288, 288))
    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(get_pretrained_cfg=lambda name: published))
    assert published_preprocessing("timm:tiny") == expected


def test_a_user_s_network_publishes_no_scaling():
    assert published_preprocessing("mine.py:network") is None


def test_timm_networks_come_with_or_without_trained_weights(monkeypatch):
    calls = []

    def create_model(name, pretrained):
        calls.append((name, pretrained))
        return TinyPlain()

    timm = types.SimpleNamespace(is_model=lambda name: name == "tiny", create_model=create_model)
    monkeypatch.setitem(sys.modules, "timm", timm)
    assert not load_model("timm:tiny").training
    load_model("timm:tiny", "random")
    assert calls == [("tiny", True), ("tiny", False)]
    with pytest.raises(SettingError, match="timm has no network 'tinier'"):
        load_model("timm:tinier")


def test_user_function_gives_the_network_in_evaluation_mode(user_file):
    network = load_model(f"{user_file}:tiny")
    assert not any(module.training for module in network.modules())
    assert network(IMAGES).shape == (2, 3)


def test_user_network_takes_weights_from_a_file(user_file, tmp_path):
    state = {name: torch.ones_like(tensor) for name, tensor in load_model(f"{user_file}:tiny").state_dict().items()}
    network = load_model(f"{user_file}:tiny", _saved(state, tmp_path / "ones.pt"))
    assert all((tensor == 1).all() for tensor in network.state_dict().values())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("number", "networks.py:number returned int, a torch.nn.Module is needed"),
        ("hungry", r"networks.py:hungry needs arguments \(channels\); give a function without any"),
        ("broken", "networks.py:broken fails: FileNotFoundError: no weights here"),
        ("stubborn", "networks.py:stubborn cannot be put into evaluation mode .RuntimeError: always learning"),
    ],
)
def test_user_function_that_gives_no_network_is_refused(user_file, function, message):
    with pytest.raises(SettingError, match=message):
        load_model(f"{user_file}:{function}")


def test_missing_weights_file_is_refused(user_file, tmp_path):
    with pytest.raises(SettingError, match=r"no weights file .*none.pt"):
        load_model(f"{user_file}:tiny", tmp_path / "none.pt")


def test_user_s_network_has_no_random_weights_of_ours(user_file):
    with pytest.raises(SettingError, match=r"networks.py:tiny decides on its weights itself; leave --weights random"):
        load_model(f"{user_file}:tiny", "random")


def test_timm_that_cannot_load_its_weights_is_refused_in_one_line(monkeypatch):
    def create_model(name, pretrained):
        raise RuntimeError("no weights are published\nfor this one")

    timm = types.SimpleNamespace(is_model=lambda name: True, create_model=create_model)
    monkeypatch.setitem(sys.modules, "timm", timm)
    with pytest.raises(SettingError, match=r"timm cannot load tiny \(RuntimeError: no weights are published\); remove"):
        load_model("timm:tiny")


def test_timm_s_own_network_is_loaded_and_taken_apart():
    network = load_model("timm:resnet10t", "random")
    assert not network.training
    # a stem of three convolutions, and four blocks
    assert len(find_sites(network, torch.zeros(2, 3, 64, 64))) == 7


@pytest.mark.parametrize("name", ["resnet21_cifar", "resnet20", "digit"])
def test_unknown_zoo_network_is_answered_with_those_there_are(name):
    with pytest.raises(SettingError, match=rf"the zoo has no network '{name}'; it has digits, resnet20_cifar, .*"):
        load_model(f"zoo:{name}", "random")


def test_zoo_s_digits_network_is_trained_on_the_spot_the_same_every_time(monkeypatch):
    monkeypatch.setattr(models, "train_digits_network", lambda: train_digits_network(epochs=1))
    first, second = load_model("zoo:digits").state_dict(), load_model("zoo:digits").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    untrained = load_model("zoo:digits", "random").state_dict()
    assert not torch.equal(first["classifier.weight"], untrained["classifier.weight"])


def test_zoo_s_digits_network_takes_weights_from_a_file(tmp_path):
    state = load_model("zoo:digits", "random").state_dict()
    found = load_model("zoo:digits", _saved(state, tmp_path / "digits.pt")).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_cifar_network_without_weights_says_what_to_type():
    with pytest.raises(SettingError, match="zoo:resnet56_cifar comes without weights; give --weights FILE, or"):
        load_model("zoo:resnet56_cifar")


def test_cifar_network_with_random_weights_has_ten_classes():
    assert load_model("zoo:resnet20_cifar", "random").linear.out_features == 10


@pytest.mark.parametrize("classes", [4, 100])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_cifar_network_has_the_classes_of_its_weight_file(tmp_path, classes, prefix):
    state = {f"{prefix}{name}": tensor for name, tensor in CifarResNet(20, classes).state_dict().items()}
    file = _saved({"state_dict": state, "best_prec1": 91.5}, tmp_path / "resnet20.th")
    network = load_model("zoo:resnet20_cifar", file)
    assert torch.equal(network.linear.weight, state[f"{prefix}linear.weight"])
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, classes)


def test_weights_that_claim_more_classes_than_they_hold_make_no_network_of_that_size(tmp_path):
    state = CifarResNet(20).state_dict()
    state["linear.weight"] = torch.zeros(1, 64).expand(10**12, 64)
    with pytest.raises(SettingError, match=r"'linear.weight' is \(1000000000000, 64\) there and \(10, 64\) here"):
        load_model("zoo:resnet20_cifar", _saved(state, tmp_path / "w.pt"))


def test_weights_of_another_depth_name_the_tensor(tmp_path):
    file = _saved(CifarResNet(32).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(SettingError, match=r"does not fit CifarResNet: 'layer1.3.[\w.]+' is .* there and absent"):
        load_model("zoo:resnet20_cifar", file)
