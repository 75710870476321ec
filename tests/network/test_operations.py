"""The table of operations."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from unweave.network.capture import capture
from unweave.network.operations import OPERATIONS, Effect, is_first_result, operation_of


def test_every_activation_keeps_channels():
    assert {line.effect for line in OPERATIONS.values() if line.activation} == {Effect.KEEP}


def test_only_meeting_values_multiply():
    assert {line.effect for line in OPERATIONS.values() if line.multiplies} == {Effect.COMBINE}


ACTIVATIONS = [
    nn.ReLU(),
    nn.ReLU6(),
    nn.LeakyReLU(),
    nn.ELU(),
    nn.SELU(),
    nn.CELU(),
    nn.PReLU(),
    nn.GELU(),
    nn.SiLU(),
    nn.Mish(),
    nn.Sigmoid(),
    nn.Hardsigmoid(),
    nn.Hardswish(),
    nn.Hardtanh(),
    nn.Tanh(),
    nn.Softplus(),
    nn.Softsign(),
    nn.LogSigmoid(),
]


def test_torchs_activations_are_known_by_what_they_compute():
    """All in one network: a capture each would take most of a minute."""
    layers = nn.Sequential(nn.Linear(4, 4), *ACTIVATIONS, nn.Linear(4, 3)).eval()
    nodes = list(capture(layers, torch.zeros(1, 4)).graph.nodes)
    between = [node for node in nodes if node.op == "call_function" and "linear" not in str(node.target)]
    unknown = [str(node.target) for node in between if operation_of(node).effect in (Effect.UNKNOWN, Effect.MIX)]
    assert unknown == []
    assert len(between) >= len(ACTIVATIONS)


class Parts(nn.Module):
    """A pool that also gives indices, and a split."""

    def forward(self, images):
        values, indices = functional.max_pool2d(images, 2, return_indices=True)
        first, second = values.split([1, 2], 1)
        return torch.cat([second, first], 1).amax((2, 3)) + indices.amax((2, 3)) * 0


@pytest.fixture(scope="module")
def parts():
    captured = capture(Parts(), torch.zeros(1, 3, 4, 4))
    return {(str(n.args[0]), n.args[1]): n for n in captured.graph.nodes if n.name.startswith("getitem")}


def test_first_of_several_results_does_what_the_operation_does(parts):
    effects = {(source, index): operation_of(node).effect for (source, index), node in parts.items()}
    pool = next(source for source, _ in effects if "pool" in source)
    split = next(source for source, _ in effects if "split" in source)
    assert effects == {
        (pool, 0): Effect.POOL,
        (pool, 1): Effect.SELECT,
        (split, 0): Effect.SELECT,
        (split, 1): Effect.SELECT,
    }
    assert [key for key, node in parts.items() if is_first_result(node)] == [(pool, 0)]
