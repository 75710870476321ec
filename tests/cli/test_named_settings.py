"""`--settings NAME`: a published run's settings, unless something else is typed."""

import re

import pytest
from PIL import Image

from unweave.errors import SettingError
from unweave.network.published import PUBLISHED_SITES
from unweave.paths import Paths
from unweave.zoo import models

NAME = "iccv2021:vgg16:imagenet"
NETWORKS = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.models.vgg import make_layers

class Small(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.features = make_layers([2, 2, "M", 2, 2, "M", 2, 2, 2, "M", 2, 2, 2, "M", 2, 2, 2, "M"])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(2, classes)

    def forward(self, images):
        return self.classifier(self.avgpool(self.features(images)).flatten(1))

def thousand():
    torch.manual_seed(0)
    return Small(1000)

def ten():
    return Small(10)

def images():
    return TensorDataset(torch.randn(4, 3, 32, 32), torch.arange(4) % 2)
"""


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "dense.py"
    file.write_text(NETWORKS)
    return file


@pytest.fixture
def photos(tmp_path):
    """Folders as ImageNet's training set has them, with a few pictures."""
    for index in range(1000):
        (tmp_path / "train" / f"n{index:08d}").mkdir(parents=True)
    for index in (0, 1):
        Image.new("RGB", (40, 48), (200 * index, 90, 60)).save(tmp_path / "train" / f"n{index:08d}" / "a.png")
    return tmp_path / "train"


@pytest.mark.filterwarnings("ignore:99. of 1000 class folders have no images:UserWarning")
@pytest.mark.filterwarnings("ignore:the network classifies no search image:UserWarning")
def test_a_published_run_at_another_size_and_with_fewer_passes(unweave, file, photos, tmp_path):
    typed = ("--settings", NAME, "--size", "32", "--passes", "1", "--out", tmp_path / "run", "--json")
    ran = unweave("disentangle", f"{file}:thousand", f"imagefolder:{photos}", *typed)
    assert ran.status == 0, ran.err
    said = f"unweave: {NAME}, but as typed: model {file}:thousand (not torchvision:vgg16), size 32 (not 224)"
    assert ran.err.startswith(f"{said}, passes 1 (not 20)\n")
    paths = Paths.load(tmp_path / "run" / "paths.safetensors")
    assert paths.rows.names == ("tench", "goldfish")
    assert paths.sites.names == PUBLISHED_SITES["iccv2021:vgg16"]
    instead = {"model": "dense.py:thousand", "size": 32, "passes": 1}
    assert paths.manifest["published"] == {"name": NAME, "instead": instead}
    assert (paths.manifest["objective"]["name"], paths.manifest["objective"]["beta"]) == ("released", 4.5)
    used = {name: paths.manifest["settings"][name] for name in ("rate", "passes", "batch", "augment")}
    assert used == {"rate": 0.1, "passes": 1, "batch": 16, "augment": "published"}


def test_a_network_for_other_classes_is_refused(unweave, file, tmp_path):
    ran = unweave("disentangle", f"{file}:ten", f"{file}:images", "--settings", NAME, "--out", tmp_path / "run")
    assert ran.status == 2
    assert ran.err.splitlines()[-1] == (
        f"unweave: {NAME} is for 1000 classes, {file}:ten has 10; give --weights of such a network, or leave "
        "--settings out and type what you want of it"
    )


def test_a_network_without_the_published_sites_is_refused(unweave, file, tmp_path):
    settings = ("--settings", "preprint:resnet50:imagenet", "--out", tmp_path / "run")
    ran = unweave("disentangle", f"{file}:thousand", f"{file}:images", *settings)
    assert ran.status == 2
    message = "preprint:resnet50:imagenet is for torchvision:resnet50, and .*thousand does not fit: no site 'maxpool/"
    assert re.search(message, ran.err)


def test_sites_takes_the_level_of_a_published_run(unweave, file):
    ran = unweave("sites", f"{file}:thousand", "--settings", NAME, "--input", "3x32x32")
    assert ran.status == 0, ran.err
    assert ran.out.lstrip().startswith("13 sites")
    assert "avgpool/adaptive_avg_pool2d:0" in ran.out


@pytest.mark.parametrize(
    ("typed", "loaded"),
    [
        ((), ("torchvision:vgg16", "IMAGENET1K_V1")),
        (("--weights", "mine.pth"), ("torchvision:vgg16", "mine.pth")),
        (("torchvision:vgg16_bn",), ("torchvision:vgg16_bn", None)),
    ],
)
def test_the_published_network_comes_with_the_weights_of_its_time(unweave, monkeypatch, typed, loaded):
    asked = []

    def load(model, weights):
        asked.append((model, weights))
        raise SettingError("enough")

    monkeypatch.setattr(models, "load_model", load)
    ran = unweave("sites", *typed, "--settings", NAME)
    assert (ran.status, ran.err, asked) == (2, "unweave: enough\n", [loaded])


@pytest.mark.parametrize("command", ["disentangle", "sites"])
def test_places365_s_networks_do_not_come_with_their_weights(unweave, tmp_path, command):
    rest = ("imagefolder:photos", "--out", tmp_path / "run") if command == "disentangle" else ()
    ran = unweave(command, *rest, "--settings", "iccv2021:resnet50:places365")
    assert ran.status == 2
    assert ran.err == (
        "unweave: torchvision:resnet50 comes without the weights of iccv2021:resnet50:places365; give --weights FILE\n"
    )


def test_an_unknown_name_is_answered_with_the_closest(unweave, tmp_path):
    ran = unweave("disentangle", "digits", "--settings", "iccv2021:vgg19:imagenet", "--out", tmp_path / "run")
    assert ran.status == 2
    assert ran.err.startswith("unweave: no settings 'iccv2021:vgg19:imagenet'; closest: iccv2021:vgg16:imagenet,")


@pytest.mark.parametrize("typed", [("--settings", NAME), ("zoo:digits",)])
def test_images_to_search_on_are_needed_with_settings_and_without(unweave, tmp_path, typed):
    ran = unweave("disentangle", *typed, "--out", tmp_path / "run")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "unweave: Missing argument 'TRAIN'; see: unweave disentangle --help\n"
