"""Sites depend on what a network computes, never on the names of its classes and attributes."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.tiny import TinyDense, TinyPlain, TinyResidual
from unweave.network.capture import capture
from unweave.network.sites import sites_of
from unweave.network.tapping import Recorder, TappedNetwork


class Alpha(nn.Module):
    """`TinyPlain` under other names, its activations and pools functions, its classifier first."""

    def __init__(self):
        super().__init__()
        self.z0 = nn.Linear(6, 3)
        self.z1, self.z2 = nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)
        self.z3, self.z4 = nn.Conv2d(4, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6)

    def forward(self, q):
        q = torch.max_pool2d(self.z2(self.z1(q)).relu_(), 2)
        return self.z0(functional.adaptive_avg_pool2d(torch.relu(self.z4(self.z3(q))), 1).squeeze((2, 3)))

    def twin_state(self, own):
        f = "features."
        pairs = {"z0": "classifier", "z1": f + "0.0", "z2": f + "0.1", "z3": f + "2.0", "z4": f + "2.1"}
        return renamed(own, pairs)


class Beta(nn.Module):
    """`TinyResidual` with its functional ReLUs made modules, additions in place and everything renamed."""

    def __init__(self):
        super().__init__()
        self.conv_a, self.not_a_norm = nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)
        self.layer = nn.ModuleDict(
            {"x": nn.Conv2d(4, 4, 3, padding=1), "y": nn.Conv2d(4, 6, 3, 2, 1), "fc": nn.Conv2d(4, 6, 1, 2)}
        )
        self.pool = nn.ReLU(inplace=True)
        self.stem = nn.Linear(6, 3)

    def forward(self, q):
        q = functional.relu(self.not_a_norm(self.conv_a(q)))
        added = self.layer["x"](q)
        added += q
        q = self.pool(added)
        q = self.pool(torch.add(self.layer["y"](q), self.layer["fc"](q)))
        return self.stem(q.mean(dim=(-2, -1)))

    def twin_state(self, own):
        pairs = {"conv_a": "stem.0", "not_a_norm": "stem.1", "stem": "classifier"}
        return renamed(own, {**pairs, "layer.x": "first", "layer.y": "second", "layer.fc": "shortcut"})


class Gamma(nn.Module):
    """`TinyDense` with modules for its activations, in nested containers."""

    def __init__(self):
        super().__init__()
        self.pool = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4))
        self.norm = nn.ModuleList([nn.Conv2d(4, 2, 3, padding=1), nn.Conv2d(6, 2, 3, padding=1)])
        self.conv = nn.ReLU()
        self.relu = nn.Linear(8, 3)

    def forward(self, q):
        q = self.conv(self.pool(q))
        for part in self.norm:
            q = torch.concat((q, self.conv(part(q))), dim=-3)
        return self.relu(functional.avg_pool2d(q, 8).flatten(1))

    def twin_state(self, own):
        return renamed(own, {"pool": "stem", "norm.0": "first", "norm.1": "second", "relu": "classifier"})


def renamed(state, pairs):
    back = {old: new for new, old in pairs.items()}
    found = {}
    for name, tensor in state.items():
        owner = max((old for old in back if name.startswith(f"{old}.")), key=len)
        found[back[owner] + name[len(owner) :]] = tensor
    return found


TWINS = [(TinyPlain, Alpha), (TinyResidual, Beta), (TinyDense, Gamma)]


@pytest.fixture(scope="module", params=TWINS, ids=lambda pair: pair[0].__name__)
def twins(request):
    torch.manual_seed(0)
    first, second = (kind() for kind in request.param)
    first.randomised()
    second.load_state_dict(second.twin_state(first.state_dict()))
    return [capture(network.eval(), torch.zeros(1, 3, 8, 8)) for network in (first, second)]


@pytest.mark.parametrize("level", ["block", "filter"])
def test_renamed_network_has_the_same_sites_under_other_names(twins, level):
    ours, theirs = (sites_of(captured, level) for captured in twins)
    assert [(s.dim, s.channels, s.shape) for s in ours] == [(s.dim, s.channels, s.shape) for s in theirs]
    assert ours.names != theirs.names


@pytest.mark.parametrize("level", ["block", "filter"])
def test_sites_of_a_renamed_network_are_the_same_values(twins, level):
    """Shapes alone could agree by chance: with equal weights, what flows through the sites must agree too."""
    images = torch.randn(2, 3, 8, 8)
    recorders = []
    for captured in twins:
        recorders.append(Recorder())
        TappedNetwork(captured, sites_of(captured, level))(images, recorders[-1])
    assert len(recorders[0].values) >= 2
    for ours, theirs in zip(recorders[0].values, recorders[1].values, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_class_names_of_another_kind_of_layer_mislead_nobody(plain):
    expected = sites_of(capture(plain, torch.zeros(1, 3, 8, 8)), "block")
    for module in list(plain.modules())[1:]:
        if not isinstance(module, nn.Sequential):
            wrong = "Linear" if isinstance(module, nn.Conv2d) else "Conv2d"
            module.__class__ = type(wrong, (type(module),), {})
    found = sites_of(capture(plain, torch.zeros(1, 3, 8, 8)), "block")
    assert tuple(found) == tuple(expected)
