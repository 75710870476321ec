"""Networks by name, and weights from files that cannot run code."""

import os
import pickle
import sys
import types

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.tiny import TinyPlain
from unweave.errors import MissingExtraError, SettingError
from unweave.zoo.models import load_model, load_weights, published_preprocessing

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
"""


@pytest.fixture
def user_file(tmp_path):
    file = tmp_path / "networks.py"
    file.write_text(USER_FILE)
    return file


@pytest.fixture
def trained():
    """A network as somebody trained it."""
    torch.manual_seed(7)
    return TinyPlain().randomised()


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


def test_failed_download_says_what_to_type(monkeypatch):
    from torchvision import models

    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(models, "get_model", offline)
    with pytest.raises(SettingError, match=r"cannot be downloaded \(no route to host\); give --weights FILE"):
        load_model("torchvision:squeezenet1_1")


@pytest.mark.parametrize("name", ["resnet18", "torchvision", "torchvision:", "keras:resnet18", "networks.py", ""])
def test_names_of_no_model_are_refused(name):
    with pytest.raises(SettingError, match=r"no model .*; give torchvision:NAME, timm:NAME or path/to/file.py:func"):
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
        ("hungry", "networks.py:hungry fails: TypeError: .*missing 1 required positional argument"),
        ("broken", "networks.py:broken fails: FileNotFoundError: no weights here"),
    ],
)
def test_user_function_that_gives_no_network_is_refused(user_file, function, message):
    with pytest.raises(SettingError, match=message):
        load_model(f"{user_file}:{function}")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "w.pth.tar"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_are_read_from_every_kind_of_file(trained, tmp_path, name, prefix):
    state = {f"{prefix}{key}": tensor for key, tensor in trained.state_dict().items()}
    network = TinyPlain().eval()
    load_weights(network, _saved(state, tmp_path / name))
    with torch.no_grad():
        assert torch.equal(network(IMAGES), trained(IMAGES))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_inside_a_checkpoint_are_found(trained, tmp_path, key):
    state = {f"module.{name}": tensor for name, tensor in trained.state_dict().items()}
    file = _saved({"epoch": 3, key: state, "best": 0.9}, tmp_path / "checkpoint.pth.tar")
    network = TinyPlain().eval()
    load_weights(network, str(file))
    assert torch.equal(network.classifier.bias, trained.classifier.bias)


def test_weights_saved_in_the_old_format_are_read(trained, tmp_path):
    file = tmp_path / "old.pth.tar"
    torch.save(trained.state_dict(), file, _use_new_zipfile_serialization=False)
    network = TinyPlain().eval()
    load_weights(network, file)
    assert torch.equal(network.classifier.bias, trained.classifier.bias)


def test_batch_counters_may_be_missing(trained, tmp_path):
    state = {name: tensor for name, tensor in trained.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(state) < len(trained.state_dict())
    network = TinyPlain().eval()
    load_weights(network, _saved(state, tmp_path / "w.pt"))
    with torch.no_grad():
        assert torch.equal(network(IMAGES), trained(IMAGES))


class Wider(TinyPlain):
    """As TinyPlain, with eight channels in the second convolution."""

    def __init__(self):
        super().__init__()
        self.features[2][0] = nn.Conv2d(4, 8, 3, 1, 1, bias=False)


def test_weights_of_another_architecture_name_the_first_tensor_and_both_shapes(tmp_path):
    file = _saved(TinyPlain().state_dict(), tmp_path / "w.pt")
    message = r"w.pt does not fit Wider: 'features.2.0.weight' is \(6, 4, 3, 3\) there and \(8, 4, 3, 3\) here"
    with pytest.raises(SettingError, match=message):
        load_weights(Wider(), file)


def test_missing_and_additional_tensors_are_named(tmp_path):
    state = TinyPlain().state_dict()
    more = _saved({**state, "head.weight": torch.zeros(2, 2)}, tmp_path / "more.pt")
    with pytest.raises(SettingError, match=r"'head.weight' is \(2, 2\) there and absent here"):
        load_weights(TinyPlain(), more)
    del state["classifier.bias"]
    with pytest.raises(SettingError, match=r"'classifier.bias' is absent there and \(3,\) here"):
        load_weights(TinyPlain(), _saved(state, tmp_path / "fewer.pt"))


def test_network_is_unchanged_where_weights_do_not_fit(tmp_path):
    state = TinyPlain().state_dict()
    state["classifier.bias"] = torch.zeros(9)
    network = TinyPlain()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(SettingError, match="does not fit"):
        load_weights(network, _saved(state, tmp_path / "w.pt"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


class _Villain:
    """Makes a folder when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("save", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))])
@pytest.mark.parametrize("wrap", [lambda villain: villain, lambda villain: {"state_dict": {}, "extra": villain}])
def test_pickle_with_code_is_refused_and_its_code_does_not_run(tmp_path, save, wrap):
    made, file = tmp_path / "made", tmp_path / "weights.pth"
    save(wrap(_Villain(made)), file)
    with pytest.raises(SettingError, match=r"weights.pth cannot be read as weights alone"):
        load_weights(TinyPlain(), file)
    assert not made.exists()


def test_whole_pickled_network_is_refused(tmp_path):
    torch.save(TinyPlain(), tmp_path / "network.pth")
    with pytest.raises(SettingError, match="cannot be read as weights alone") as caught:
        load_weights(TinyPlain(), tmp_path / "network.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"these are no weights", b"PK\x03\x04"])
def test_files_that_hold_no_weights_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingError, match=f"{name} cannot be read as weights alone"):
        load_weights(TinyPlain(), tmp_path / name)


@pytest.mark.parametrize("value", [[1, 2], torch.zeros(3), {"a": 1}, {"weights": {"a": torch.zeros(1)}}])
def test_files_without_a_state_dict_are_refused(tmp_path, value):
    with pytest.raises(SettingError, match=r"w.pt holds no state dict \(names to tensors\)"):
        load_weights(TinyPlain(), _saved(value, tmp_path / "w.pt"))


def test_missing_weights_file_is_refused(user_file, tmp_path):
    with pytest.raises(SettingError, match=r"no weights file .*none.pt"):
        load_model(f"{user_file}:tiny", tmp_path / "none.pt")
