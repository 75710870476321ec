"""The sparse copy computes what the masked network does, and not more than it says."""

import functools
import importlib.util

import pytest
import torch
from torch import nn

from tests.decoupling.problems import IMAGES, Block, Chain, Dense, Residual, choosy, settled
from tests.decoupling.test_cost import with_gates
from unweave.decoupling.network import decouple
from unweave.decoupling.sameness import check_sparse
from unweave.decoupling.sparse.convolution import Shared, SparseConvolution
from unweave.decoupling.sparse.graph import sparse_graph
from unweave.decoupling.sparse.plan import Choice, Plan
from unweave.decoupling.sparse.selection import MOST_ADDED
from unweave.errors import CaptureError, SettingError
from unweave.network.capture import capture

METHODS = ("dense", "rows", "columns", "both", "groups")


class Wide(nn.Module):
    """More channels than counts are rounded to: 40, 24 and 24, in a plain and a residual part, with pools between."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 40, 3, padding=1)
        self.narrow, self.block = nn.Conv2d(40, 24, 1), Block(24, 24)
        self.pool, self.classifier = nn.MaxPool2d(2), nn.Linear(24, 3)

    def forward(self, images):
        values = self.pool(torch.relu(self.inner(torch.relu(self.stem(images)))))
        return self.classifier(self.block(torch.relu(self.narrow(values))).mean((2, 3)))


class PreActivation(nn.Module):
    """Norm and ReLU before the convolutions: the norms make zero channels non-zero."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4 + 4 * i) for i in range(3))
        self.layers = nn.ModuleList(nn.Conv2d(4 + 4 * i, 4, 3, padding="same") for i in range(3))
        self.classifier = nn.Linear(16, 3)

    def forward(self, images):
        values = self.stem(images)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            values = torch.cat([values, layer(torch.relu(norm(values)))], 1)
        return self.classifier(values.mean((2, 3)))


class Odd(nn.Module):
    """What cannot go on compact: a product, a sigmoid, a grouped convolution, a slice, a sum of two gated values,
    a sum of which one part is read again."""

    def __init__(self):
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.grouped, self.mixed = nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(6, 4, 1)
        self.last, self.classifier = nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

    def forward(self, images):
        values = torch.relu(self.stem(images))
        left, right = self.left(values), self.right(values)
        values = self.grouped(torch.sigmoid(left) * right + (left + right) + (values + left) * values)
        values = self.mixed(torch.cat([values, values[:, :2]], 1))
        return self.classifier(self.last(nn.functional.prelu(values, torch.full((4,), 0.1))).mean((2, 3)))


class PaddedShortcut(nn.Module):
    """A block whose shortcut takes every other position and adds channels of zeros (CIFAR ResNets, option A), and one
    without."""

    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), Block(4, 8, 2), Block(8, 8)
        self.one.shortcut = Padding()
        self.classifier = nn.Linear(8, 3)

    def forward(self, images):
        return self.classifier(self.two(self.one(torch.relu(self.stem(images)))).mean((2, 3)))


class Padding(nn.Module):
    def forward(self, values):
        return nn.functional.pad(values[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))


class Same(nn.Module):
    """Norms behind convolutions that are padded by name, one with a kernel of even size."""

    def __init__(self):
        super().__init__()
        self.stem, self.odd, self.even = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3, padding="same"), nn.Conv2d(6, 4, 2)
        self.even.padding = "same"
        self.norms = nn.ModuleList((nn.BatchNorm2d(6), nn.BatchNorm2d(4)))
        self.last, self.classifier = nn.Conv2d(4, 4, 3, padding="valid"), nn.Linear(4, 3)

    def forward(self, images):
        values = self.norms[0](self.odd(torch.relu(self.stem(images))))
        values = self.norms[1](self.even(torch.relu(values)))
        return self.classifier(self.last(values).mean((2, 3)))


class Mirrored(Chain):
    """Convolutions that pad with what is at the other side, or at the edge; their controllers see no padding."""

    def __init__(self):
        super().__init__()
        self.second = nn.Conv2d(4, 8, 3, padding=2, bias=False, padding_mode="reflect")
        self.third = nn.Sequential(
            nn.Conv2d(8, 4, 3, padding=1, padding_mode="circular"),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate"),
        )


class PadsItself(nn.Conv2d):
    def forward(self, values):
        return super().forward(nn.functional.pad(values, (0, 3, 0, 3)))


class OwnPadding(Chain):
    """A convolution whose own forward adds zeros, behind one whose output is compact."""

    def __init__(self):
        super().__init__()
        self.third = PadsItself(8, 4, 3)


KINDS = (Chain, Residual, Dense, Wide, PreActivation, Odd, PaddedShortcut, Same, Mirrored, OwnPadding)


def decoupled_of(kind):
    decoupled = choosy(decouple(settled(kind()), IMAGES))
    return centred(decoupled) if kind is PreActivation else decoupled


def centred(decoupled):
    """Every filter is selected for some of the images, and not for others."""

    def centre(module, arguments, output):
        middle = output.mean(0)
        module.bias.data -= middle
        return output - middle

    hooks = [layer.controller.expand.register_forward_hook(centre) for layer in decoupled.controlled.values()]
    with torch.no_grad():
        decoupled(IMAGES)
    for hook in hooks:
        hook.remove()
    return decoupled


@functools.cache
def example_of(kind):
    """(decoupled network, its sparse copy, its scores), made once: capturing takes most of a test's time."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        decoupled = decoupled_of(kind)
        return decoupled, decoupled.sparse(IMAGES, "both"), decoupled(IMAGES)


@pytest.fixture
def chain():
    return decoupled_of(Chain)


def assert_same(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ["channels_last", "contiguous", "product"])
def test_the_sparse_copy_equals_the_masked_network(kind, method, algorithm):
    _, sparse, wanted = example_of(kind)
    sparse.plan = Plan.same(sparse.layer_names, Choice(method, algorithm))
    assert_same(sparse(IMAGES), wanted)
    assert_same(torch.cat([sparse(image[None]) for image in IMAGES]), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_different_inputs_take_different_paths(kind):
    """Else the tests above would say little."""
    paths = torch.cat(list(example_of(kind)[0].gates(IMAGES).values()), 1)
    assert 0.1 < paths.mean() < 0.9
    assert len(torch.unique(paths, dim=0)) > 1


def test_inputs_one_by_one_equal_inputs_together():
    decoupled, sparse, wanted = example_of(Chain)
    sparse.plan = Plan.same(sparse.layer_names, Choice("both"), "each")
    with sparse.counting() as counted:
        assert_same(sparse(IMAGES), wanted)
    cost = decoupled.multiply_accumulates(IMAGES).per_layer["second"]
    assert counted.multiply_accumulates["second"] == int(cost.sum())


@pytest.mark.parametrize("kind", [Chain, Residual, Dense, Wide, PaddedShortcut, Same])
def test_what_is_computed_is_what_the_cost_says(kind):
    decoupled, sparse, _ = example_of(kind)
    sparse.plan = "both"
    cost = decoupled.multiply_accumulates(IMAGES).per_layer
    for position, image in enumerate(IMAGES):
        with sparse.counting() as counted:
            sparse(image[None])
        assert dict(counted.multiply_accumulates) == {name: int(cost[name][position]) for name in sparse.layer_names}


def test_multiply_accumulates_by_hand():
    decoupled = with_gates(decoupled_of(Chain), second=[1, 1, 1, 0, 0, 0, 0, 0], third=[1, 0, 0, 1])
    computed, sparse = {}, decoupled.sparse(IMAGES, "dense")
    for method in METHODS:
        sparse.plan = method
        with sparse.counting() as counted:
            sparse(IMAGES[:1])
        computed[method] = [counted.multiply_accumulates[name] for name in ("second", "third", "last")]
    # 3x3 kernels on 8 x 8 positions, a 1x1 kernel, a strided 3x3 kernel on 4 x 4 positions
    assert computed["dense"] == [576 * 4 * 8, 64 * 8 * 4, 144 * 4 * 6]
    assert computed["rows"] == [576 * 4 * 3, 64 * 8 * 2, 144 * 4 * 6]
    assert computed["columns"] == [576 * 4 * 8, 64 * 8 * 4, 144 * 4 * 6]  # nothing is compact: all channels come in
    assert computed["both"] == computed["groups"] == [576 * 4 * 3, 64 * 3 * 2, 144 * 2 * 6]


def test_columns_leave_out_channels_of_a_compact_input():
    decoupled = with_gates(decoupled_of(Chain), second=[1, 1, 1, 0, 0, 0, 0, 0], third=[1, 0, 0, 1])
    choices = dict.fromkeys(("first", "second", "third", "last"), Choice("both")) | {"third": Choice("columns")}
    sparse = decoupled.sparse(IMAGES, Plan(choices, choices))
    with sparse.counting() as counted:
        assert_same(sparse(IMAGES[:1]), decoupled(IMAGES[:1]).detach())
    assert counted.multiply_accumulates["third"] == 64 * 3 * 4
    assert counted.multiply_accumulates["last"] == 144 * 4 * 6


def test_a_batch_computes_the_union_and_groups_what_each_selects():
    gates = torch.ones(3, 8 + MOST_ADDED, dtype=torch.bool)
    gates[:, :8] = torch.tensor([[1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]])
    computed = {}
    for method in ("rows", "groups"):
        sparse = example_of(Chain)[1]
        layer = sparse._convolutions[1]
        with sparse.counting() as counted, torch.no_grad():
            layer.compute(torch.randn(3, 4, 8, 8), None, gates, Choice(method))
        computed[method] = counted.multiply_accumulates["second"]
    assert computed == {"rows": 576 * 4 * 3 * 3, "groups": 576 * 4 * 2 * 3}


def test_a_layer_that_selects_nothing_is_exactly_zero_and_counted():
    decoupled = with_gates(decoupled_of(Chain), third=[0, 0, 0, 0])
    sparse = decoupled.sparse(IMAGES, "both")
    for method in METHODS:
        sparse.plan = method
        with sparse.counting() as counted:
            found = sparse(IMAGES)
            assert torch.equal(found, sparse(IMAGES * 7 + 1))  # nothing of the images gets through
        assert_same(found, decoupled(IMAGES).detach())
        assert counted.empty["third"] == 10
        assert counted.empty["second"] < 10


def test_open_gates_compute_the_original(chain):
    network = settled(Chain())
    sparse = decouple(network, IMAGES).sparse(IMAGES, "both")
    assert_same(sparse(IMAGES), network(IMAGES).detach())
    with sparse.counting() as counted:
        sparse(IMAGES[:1])
    assert counted.multiply_accumulates["second"] == 576 * 4 * 8


def test_nothing_is_kept_between_inputs():
    sparse = example_of(Chain)[1]
    first = sparse(IMAGES[:1])
    sparse(IMAGES[4:])
    assert torch.equal(sparse(IMAGES[:1]), first)


def test_the_decoupled_network_is_left_alone(chain):
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    chain.train()
    sparse = chain.sparse(IMAGES, "both")
    assert chain.training
    assert all(torch.equal(value, before[name]) for name, value in chain.state_dict().items())
    scores = sparse(IMAGES[:1])
    with torch.no_grad():
        chain.controlled["second"].convolution.weight.zero_()
    assert torch.equal(sparse(IMAGES[:1]), scores)
    assert not scores.requires_grad


def test_what_is_fastest_is_measured_and_kept(chain):
    sparse = chain.sparse(IMAGES)
    assert_same(sparse(IMAGES), chain(IMAGES).detach())
    assert set(sparse.plan.single) == set(sparse.plan.together) == {"first", "second", "third", "last"}
    times = sparse.plan.seconds["second"]
    assert times["single: dense, channels_last"] > 0
    assert times["together: rows, channels_last"] > 0
    assert f"single: {sparse.plan.single['second']}" in times
    assert f"together: {sparse.plan.together['second']}" in times
    assert sparse.plan.table["layer"] == ("first", "second", "third", "last")
    assert chain.sparse(IMAGES, sparse.plan).plan == sparse.plan


def test_a_plan_for_other_layers_is_refused():
    sparse = example_of(Chain)[1]
    with pytest.raises(SettingError, match=r"the plan \(single\) leaves out 'first'"):
        sparse.plan = Plan.same(["second", "third", "last"], Choice("both"))
    with pytest.raises(SettingError, match="has the unknown layer 'fifth'"):
        sparse.plan = Plan.same(["first", "second", "third", "last", "fifth"], Choice("both"))


def test_channels_that_neither_side_of_a_sum_holds_are_left_out():
    decoupled = with_gates(decoupled_of(PaddedShortcut), one__conv2=[1, 0, 0, 0, 0, 0, 0, 0], two__conv1=[1] * 8)
    sparse = decoupled.sparse(IMAGES, "both")
    with sparse.counting() as counted:
        assert_same(sparse(IMAGES[:1]), decoupled(IMAGES[:1]).detach())
    # 3x3 kernels on 4 x 4 positions: the shortcut holds channels 2 to 5, the convolution channel 0
    assert counted.multiply_accumulates["two.conv1"] == 144 * 5 * 8


def test_a_norm_that_is_not_folded_is_refused(chain):
    captured = capture(chain.plain(), IMAGES)
    controllers = {name: layer.controller for name, layer in chain.controlled.items()}
    with pytest.raises(CaptureError, match="the norm norm could not be folded into the convolution second"):
        sparse_graph(captured, chain.layers, controllers, Shared())


def test_a_copy_that_selects_other_filters_is_refused(chain, monkeypatch):
    true = SparseConvolution.gates

    def other(self, values, held):
        gates = true(self, values, held)
        return ~gates if self.name == "third" else gates

    monkeypatch.setattr(SparseConvolution, "gates", other)
    with pytest.raises(CaptureError, match="selects other filters in layer 'third'"):
        chain.sparse(IMAGES, "both")


def test_a_copy_that_computes_something_else_is_refused(chain, monkeypatch):
    true = SparseConvolution.compute

    def doubled(self, *given):
        output, held = true(self, *given)
        return (2 * output if self.name == "last" else output), held

    monkeypatch.setattr(SparseConvolution, "compute", doubled)
    with pytest.raises(CaptureError, match="sparse copy does not compute what the decoupled network does"):
        chain.sparse(IMAGES, "both")


def test_gates_that_are_zero_to_rounding_may_differ(chain):
    """Such a gate's sign is chance: the copy is not blamed for it."""
    controller = chain.controlled["second"].controller
    with torch.no_grad():
        controller.expand.weight.zero_()
        controller.expand.bias.copy_(torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 1e-9]))
    sparse = chain.sparse(IMAGES, "both")
    with torch.no_grad():
        sparse._convolutions[1].expand_bias[7] = -1e-9
    record, wanted = chain._observed(IMAGES)
    check_sparse(sparse, IMAGES, chain.layer_names, record, wanted)
    with torch.no_grad():
        sparse._convolutions[1].expand_bias[6] = -1.0
    with pytest.raises(CaptureError, match="layer 'second'"):
        check_sparse(sparse, IMAGES, chain.layer_names, record, wanted)


def test_an_unknown_method_is_refused(chain):
    with pytest.raises(SettingError, match="one of dense, rows, columns, both, groups, found 'fast'"):
        chain.sparse(IMAGES, "fast")


@pytest.mark.parametrize("name", ["resnet20", "densenet40", "squeezenet"])
def test_real_networks(real_data, name):
    spec = importlib.util.spec_from_file_location("networks", real_data / "models" / "networks.py")
    networks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(networks)
    size = 224 if name == "squeezenet" else 32
    images = torch.rand(3, 3, size, size) * (255 if name == "densenet40" else 1)
    decoupled = choosy(decouple(getattr(networks, name)(), images))
    with torch.no_grad():
        wanted = decoupled(images)
    sparse = decoupled.sparse(images, "both")
    for method in ("both", "columns", "groups"):
        sparse.plan = method
        for found in (sparse(images), torch.cat([sparse(image[None]) for image in images])):
            assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()
