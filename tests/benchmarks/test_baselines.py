"""Filters pruned for good: which go, that what is left computes the same without them, within the budget."""

import copy
import json
import sys

import pytest
import torch
from torch import nn

from benchmarks import baselines, common
from benchmarks.baselines import Prunable, importances, prunable, pruned, removed, without
from benchmarks.fine_tuning import multiply_accumulates
from tests.benchmarks.conftest import residual
from tests.decoupling.problems import Chain, settled

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LAYERS = [Prunable("one.conv1", "one.bn1"), Prunable("two.conv1", "two.bn1")]
SCORES = [torch.tensor([0.1, 0.2, 0.3, 0.9]), torch.tensor([5.0, 4.0, 0.25, 7.0, 6.0, 8.0])]


@pytest.fixture
def torch_pruning():
    """Skipped where the optional package is not there."""
    return pytest.importorskip("torch_pruning")


# ---- Which filters


@pytest.mark.parametrize(
    ("method", "count", "expected"),
    [
        ("l1", 5, [[0, 1], [1, 2, 0]]),  # half of each layer
        ("l1", 3, [[0], [2]]),  # 30 % of each layer, rounded down
        ("l1", 10, [[0, 1, 2], [0, 1, 2, 3, 4]]),  # one stays in each
        ("slimming", 3, [[0, 1], [2]]),  # 0.1, 0.2, 0.25
        ("slimming", 5, [[0, 1, 2], [1, 2]]),  # 0.9 is the highest of its layer: 4 goes
        ("slimming", 10, [[0, 1, 2], [0, 1, 2, 3, 4]]),
        ("slimming", 0, [[], []]),
    ],
)
def test_the_filters_that_count_least_go(method, count, expected):
    assert removed(SCORES, count, method) == [sorted(filters) for filters in expected]


def _norms(channels_in, channels):
    return nn.Conv2d(channels_in, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()


def straight():
    """Three convolutions with norms, and a classifier."""
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)
    return nn.Sequential(*_norms(3, 4), *_norms(4, 6), *_norms(6, 5), *ends)


class Forked(nn.Module):
    """The same; what the first convolution gives is read twice."""

    def __init__(self):
        super().__init__()
        whole = straight()
        self.first, self.rest = whole[:3], whole[3:]

    def forward(self, images):
        values = self.first(images)
        return self.rest(values) + values.mean((2, 3))[:, :3]


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (residual, ["one.conv1", "two.conv1"]),  # no stem, projection or second convolution: additions read them
        (lambda: settled(Chain()), ["second"]),  # the only one with a norm
        (lambda: settled(straight()), ["0", "3", "6"]),  # the classifier reads the last
        (lambda: settled(Forked()), ["rest.3", "rest.6"]),
    ],
    ids=["residual", "chain", "straight", "forked"],
)
def test_layers_whose_output_an_addition_or_two_others_read_are_left_out(network, expected):
    assert [layer.convolution for layer in prunable(network(), IMAGES)] == expected


def test_a_layer_is_named_with_its_norm():
    assert prunable(residual(), IMAGES) == LAYERS


@pytest.mark.usefixtures("torch_pruning")
def test_filters_count_as_their_l1_norms_or_their_norm_s_scales():
    network = residual()
    network.one.bn1.weight.data = torch.tensor([0.5, -2.0, 0.1, 1.0, -0.3, 0.7])
    norms, scales = (importances(network, IMAGES, LAYERS, method) for method in ("l1", "slimming"))
    torch.testing.assert_close(norms[0], network.one.conv1.weight.abs().sum((1, 2, 3)))
    torch.testing.assert_close(norms[1], network.two.conv1.weight.abs().sum((1, 2, 3)))
    torch.testing.assert_close(scales[0], torch.tensor([0.5, 2.0, 0.1, 1.0, 0.3, 0.7]))


# ---- What is left


@pytest.mark.usefixtures("torch_pruning")
def test_a_network_without_filters_computes_what_it_computes_with_their_weights_zero():
    network, gone = residual(), [[0, 2, 5], [1]]
    before = copy.deepcopy(network.state_dict())
    smaller, zeroed = without(network, IMAGES, LAYERS, gone), copy.deepcopy(network)
    for layer, filters in zip(LAYERS, gone, strict=True):
        for path in (layer.convolution, layer.norm):
            module = zeroed.get_submodule(path)
            module.weight.data[filters] = 0
        module.bias.data[filters] = 0
    with torch.no_grad():
        torch.testing.assert_close(smaller(IMAGES), zeroed(IMAGES))
        assert not torch.allclose(smaller(IMAGES), network(IMAGES), atol=1e-3)
    shapes = {path: tuple(module.weight.shape[:2]) for path, module in convolutions(smaller)}
    assert shapes == {
        "stem": (4, 3),
        "one.conv1": (3, 4),
        "one.conv2": (6, 3),
        "one.shortcut.0": (6, 4),
        "two.conv1": (5, 6),
        "two.conv2": (6, 5),
    }
    assert smaller.one.bn1.num_features == 3
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def convolutions(network):
    return [(path, module) for path, module in network.named_modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.usefixtures("torch_pruning")
@pytest.mark.parametrize("method", ["l1", "slimming"])
def test_the_largest_network_within_the_share_is_left(method):
    network = residual()
    smaller = pruned(network, IMAGES, LAYERS, method, 0.8)
    allowed = 0.8 * multiply_accumulates(network, IMAGES)
    assert multiply_accumulates(smaller, IMAGES) <= allowed
    scores = importances(network, IMAGES, LAYERS, method)
    costs = [
        multiply_accumulates(without(network, IMAGES, LAYERS, removed(scores, count, method)), IMAGES)
        for count in range(13)
    ]
    assert multiply_accumulates(smaller, IMAGES) == max(cost for cost in costs if cost <= allowed)


@pytest.mark.usefixtures("torch_pruning")
def test_a_share_that_no_pruning_reaches_is_one_line():
    with pytest.raises(SystemExit, match=r"takes more than 0\.01 of what it took"):
        pruned(residual(), IMAGES, LAYERS, "l1", 0.01)


# ---- The whole command


@pytest.fixture
def command(typed, small, monkeypatch, tmp_path, capsys):
    """Run the command with these options more; the results it keeps, by name."""
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")

    def run(*more):
        monkeypatch.setattr(sys, "argv", ["baselines.py", *typed, "--label", "_tiny", *more])
        baselines.main()
        return {file.stem: json.loads(file.read_text()) for file in (tmp_path / "results").iterdir()}

    return run


@pytest.mark.usefixtures("torch_pruning")
def test_both_methods_have_the_same_budget_and_the_same_command_repeats_nothing(command, epochs_trained, tmp_path):
    options = ("--shares", "0.8", "--epochs", "3")
    first = command(*options)
    original, pruned_once, with_penalty, once_pruned = [0, 1, 2], [0, 1, 2], [0, 1], [2]
    assert epochs_trained == [*original, *pruned_once, *with_penalty, *once_pruned]
    assert first.keys() == {"baselines_resnet20_l1_0.8_tiny", "baselines_resnet20_slimming_0.8_tiny"}
    for result in first.values():
        assert result["multiply_accumulates"] <= 0.8 * result["original_multiply_accumulates"]
        assert result["filters_left"].keys() == {"one.conv1", "two.conv1"}
        assert (tmp_path / result["weights"]).is_file()
        assert (
            result["points_above_given_original"]["test"]["low"]
            <= result["top1_percent"]["pruned"]["test"] - (result["top1_percent"]["given"]["test"])
        )
    assert first["baselines_resnet20_l1_0.8_tiny"]["budget"] == first["baselines_resnet20_slimming_0.8_tiny"]["budget"]
    epochs_trained.clear()
    assert command(*options) == first
    assert epochs_trained == []


@pytest.mark.usefixtures("torch_pruning")
def test_an_interrupted_command_goes_on_with_what_is_not_finished(command, epochs_trained, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(baselines, "pruned", interrupt)
        with pytest.raises(KeyboardInterrupt):
            command("--shares", "0.8", "--epochs", "2", "--methods", "slimming")
    assert epochs_trained == [0, 1, 0]  # the original's two and slimming's with penalty
    epochs_trained.clear()
    found = command("--shares", "0.8", "--epochs", "2", "--methods", "slimming")
    assert epochs_trained == [1]
    assert found.keys() == {"baselines_resnet20_slimming_0.8_tiny"}


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.usefixtures("torch_pruning")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--shares", "1.5"), r"--shares must be above 0 and at most 1, found \[1.5\]"),
        (("--epochs", "1"), "slimming needs --epochs 2 or more, and --sparse-part between 0 and 1"),
        (("--sparse-part", "1"), "slimming needs --epochs 2 or more, and --sparse-part between 0 and 1"),
    ],
)
def test_bad_options_are_one_line_before_anything_is_trained(command, epochs_trained, more, message):
    with pytest.raises(SystemExit, match=message):
        command(*more)
    assert epochs_trained == []


def test_without_torch_pruning_the_command_says_what_to_type(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(SystemExit, match=r"pip install 'unweave\[benchmarks\]'"):
        command()
