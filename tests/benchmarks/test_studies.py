"""The studies of all methods, on a network that takes no time."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from benchmarks import studies, study_methods
from unweave.data.cifar import CIFAR10_CLASSES
from unweave.data.labelled import labelled

METHODS = ("released", "random")


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    )


def images(seed):
    data = TensorDataset(torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(seed)), torch.arange(40) % 10)
    data.classes = list(CIFAR10_CLASSES)
    return labelled(data)


@pytest.fixture
def study(tmp_path, monkeypatch, capsys):
    """`python -m benchmarks.studies resnet20`, with another network in its place."""
    monkeypatch.setattr(study_methods, "user_networks", lambda: SimpleNamespace(resnet20=network))
    monkeypatch.setattr(study_methods, "data_of", lambda name: (images(1), images(2)))
    monkeypatch.setattr(study_methods, "compressed_tests", lambda name: images(3))

    def run(*arguments):
        places = [f"--{name}={tmp_path / name}" for name in ("work", "results", "images")]
        monkeypatch.setattr(sys, "argv", ["studies.py", *map(str, arguments), *places])
        studies.main()
        return capsys.readouterr().out

    return run


@pytest.mark.filterwarnings("ignore:the network classifies no search image")
def test_every_method_is_searched_measured_and_shown(study, tmp_path):
    typed = ("resnet20", "--limit", 3, "--passes", 1, "--seeds", 0, 1, "--deep-seeds", 1, "--methods", *METHODS)
    printed = study(*typed)
    for method in METHODS:
        file = tmp_path / "results" / f"studies_resnet20_{method}.json"
        assert file.stat().st_size < 300_000
        result = json.loads(file.read_text())
        difference = result["balanced_against_whole_network"]["all_seeds"]
        figures = result["figures"]
        by_class = figures["balanced"]["mean"] - figures["original_balanced"]["mean"]
        assert difference["difference"] == pytest.approx(by_class, abs=1e-5)
        assert difference["low"] <= difference["difference"] <= difference["high"]
        assert f"| {method}" in printed
        assert "rank correlation (p) | the same correlation, JPEG images" in printed
    sizes = [json.loads((tmp_path / "results" / f"studies_resnet20_{m}.json").read_text()) for m in METHODS]
    kept = {result["method"]: result["figures"]["kept"]["values"] for result in sizes}
    assert kept["random"] == kept["released"]
    drawn = {file.name for file in (tmp_path / "images").iterdir()}
    kinds = ["overview", "keep_curve", "hit_rate", "similarity", "feature_maps"]
    kinds += ["usage", "accuracies", "similarities", "misjudgements"]
    assert drawn == {"studies_interpretability.png", *(f"studies_resnet20_{kind}.png" for kind in kinds)}
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "work").rglob("*.safetensors")}
    assert study(*typed).endswith(printed[-500:])
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "work").rglob("*.safetensors")}
