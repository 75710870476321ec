"""The user's network is never changed: not by success, not by failure, not by any method."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

import unweave as uw
from unweave.errors import CaptureError, DataError, MismatchError, SiteError
from unweave.search.objectives import OBJECTIVES

IMAGES = torch.zeros(1, 3, 8, 8)


class UnreadableError(Exception):
    """What a data set raises in the middle of the work."""


class Network(nn.Module):
    """Everything that could be lost: modes that differ, frozen weights, hooks, a shared module, attributes."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.drop = nn.Conv2d(4, 4, 3, padding=1), nn.Dropout(0.5)
        self.act, self.last = nn.ReLU(inplace=True), nn.Linear(4, 3)
        self.notes = {"calls": [], "state": torch.ones(2)}
        self.refuses = False
        self.norm.running_mean.normal_()
        self.register_buffer("temperature", torch.ones(()), persistent=False)
        self.conv1.register_forward_hook(lambda module, inputs, output: output * 1)
        self.last.register_forward_pre_hook(lambda module, inputs: None)
        self.conv2.register_full_backward_hook(lambda module, grad_input, grad_output: None)
        self.conv2.weight.requires_grad_(False)
        self.train()
        self.norm.eval()
        self.drop.eval()

    def forward(self, images):
        if self.refuses:
            raise ValueError("cannot be captured")
        values = self.act(self.norm(self.conv1(images)))
        values = functional.relu_(self.conv2(self.drop(values)) + values)
        return self.last(values.mean((2, 3))) / self.temperature


class Images(Dataset):
    """Labelled as the network itself would; raises when more than `limit` items have been read."""

    def __init__(self, network, limit=None):
        self.images = torch.randn(18, 3, 8, 8, generator=torch.Generator().manual_seed(3))
        self.targets = (torch.arange(18) % 3).tolist()
        self.limit, self.read = limit, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, position):
        self.read += 1
        if self.limit is not None and self.read > self.limit:
            raise UnreadableError(f"image {position} cannot be read")
        return self.images[position], self.targets[position]


def contents(tensor):
    """Everything about a tensor that a careless method could change, and a counter of writes into it."""
    described = (id(tensor), tensor.data_ptr(), tensor._version, tensor.requires_grad, tensor.grad is None)
    return (*described, str(tensor.dtype), tensor.stride(), tensor.detach().clone().numpy().tobytes())


def attributes(module):
    """A module's own attributes, its hook dictionaries among them: names, identities and what containers hold."""
    found = {}
    for name, value in vars(module).items():
        inside = tuple((key, id(item)) for key, item in value.items()) if isinstance(value, dict) else None
        found[name] = (id(value), inside)
    return found


def snapshot(network):
    """The network and the process around it."""
    state = np.random.get_state()
    return {
        "parameters": {name: contents(tensor) for name, tensor in network.named_parameters()},
        "buffers": {name: contents(tensor) for name, tensor in network.named_buffers()},
        "attributes": {name: attributes(module) for name, module in network.named_modules()},
        "modes": {name: module.training for name, module in network.named_modules()},
        "notes": (tuple(network.notes), tuple(network.notes["calls"]), contents(network.notes["state"])),
        "gradient modes": (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
        ),
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "random states of Python and NumPy": (random.getstate(), state[0], state[1].tobytes(), state[2:]),
    }


def find_sites(network, paths, data):
    return uw.find_sites(network, IMAGES)


def find_unknown_site(network, paths, data):
    return uw.find_sites(network, IMAGES, ["no/such:0"])


def restrict(network, paths, data):
    return uw.restrict(network, paths)(torch.ones(3, 3, 8, 8))


def restrict_another(network, paths, data):
    other = uw.Paths(paths.masks, paths.rows, paths.sites, {"network": {"name": "Other", "digest": ""}})
    return uw.restrict(network, other)


def accuracy(network, paths, data):
    return uw.accuracy(network, paths, data)


def specificity(network, paths, data):
    return uw.specificity(network, paths, data)


def route(network, paths, data):
    return uw.route(network, data, batch=3, steps=2)


def attribute(network, paths, data):
    return uw.attribute(network, data, batch=3, steps=2)


def extract(network, paths, data):
    return uw.extract(network, paths[0], torch.ones(3, 3, 8, 8))(torch.ones(3, 3, 8, 8))


def extract_another(network, paths, data):
    other = uw.Paths(paths.masks, paths.rows, paths.sites, {"network": {"name": "Other", "digest": ""}})
    return uw.extract(network, other[0], torch.ones(3, 3, 8, 8))


def search(objective):
    def disentangle(network, paths, data):
        return uw.disentangle(network, data, objective=objective, beta=0.1, passes=2, batch=3)

    return disentangle


CALLS = {
    "find_sites": find_sites,
    "restrict": restrict,
    "extract": extract,
    "accuracy": accuracy,
    "specificity": specificity,
    "route": route,
    "attribute": attribute,
    **{f"disentangle {objective}": search(objective) for objective in OBJECTIVES},
}
READS_IMAGES = [name for name in CALLS if name not in ("find_sites", "restrict", "extract")]
# Preparing a search reads nineteen images, a pass eighteen; routing looks at three more before it chooses sites.
LIMITS = {
    name: 27 if name.startswith(("disentangle", "attribute")) else 29 if name == "route" else 5 for name in READS_IMAGES
}
CASES = [
    *((name, call, None, None) for name, call in CALLS.items()),
    *((name, call, "in capture", CaptureError) for name, call in CALLS.items()),
    *((name, CALLS[name], "in the middle", DataError) for name in READS_IMAGES),
    ("find_sites", find_unknown_site, "unknown name", SiteError),
    ("restrict", restrict_another, "another network", MismatchError),
    ("extract", extract_another, "another network", MismatchError),
]


def fresh_network():
    torch.manual_seed(7)
    return Network()


@pytest.fixture(scope="module")
def paths():
    """Found once: every test's network has the same weights."""
    masks = {"act/relu:0": torch.arange(12).view(3, 4) % 5 > 0, "relu:0": torch.arange(12).view(3, 4) % 4 > 0}
    return uw.Paths.from_masks(masks, fresh_network(), IMAGES, classes=[0, 1, 2])


@pytest.fixture
def network():
    return fresh_network()


@pytest.mark.filterwarnings("ignore:the network classifies no search image")
@pytest.mark.parametrize(("name", "call", "fault", "error"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES])
def test_network_and_process_are_as_before(network, paths, name, call, fault, error):
    network.refuses = fault == "in capture"
    data = Images(network, LIMITS[name] if fault == "in the middle" else None)
    before = snapshot(network)
    if error is None:
        assert call(network, paths, data) is not None
    else:
        with pytest.raises(error):
            call(network, paths, data)
    after = snapshot(network)
    assert [part for part in before if after[part] != before[part]] == []


@pytest.mark.filterwarnings("ignore:the network classifies no search image")
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("fault", [None, "in the middle"])
def test_network_and_gradient_mode_are_as_before_inside_another_mode(network, paths, mode, fault):
    data = Images(network, 27 if fault else None)
    with mode():
        before = snapshot(network)
        if fault is None:
            assert len(search("released")(network, paths, data)) == 3
        else:
            with pytest.raises(DataError):
                search("released")(network, paths, data)
        after = snapshot(network)
    assert [part for part in before if after[part] != before[part]] == []


def test_faults_happen_in_the_middle_of_the_search(network):
    """The family above proves nothing if the data set fails before the first step, or after the last."""
    whole = Images(network)
    steps = []

    class Counting(OBJECTIVES["released"]):
        def class_term(self, *arguments):
            steps.append(1)
            return super().class_term(*arguments)

    with pytest.warns(UserWarning, match="classifies no search image"):
        uw.disentangle(network, whole, objective=Counting(beta=0.1), passes=2, batch=3, keep_activations=False)
    complete = len(steps)
    steps.clear()
    with pytest.raises(DataError):
        uw.disentangle(network, Images(network, 27), objective=Counting(beta=0.1), passes=2, batch=3, rows_per_batch=1)
    assert 0 < len(steps) < complete


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.train(),
        lambda network: network.norm.running_mean.add_(0),
        lambda network: network.conv2.requires_grad_(),
        lambda network: network.last.register_forward_hook(print),
        lambda network: setattr(network.act, "seen", 1),
        lambda network: setattr(network.last.bias, "grad", torch.zeros(3)),
        lambda network: network.to(torch.float64),
        lambda network: network.notes["calls"].append(1),
        lambda network: torch.rand(1),
    ],
)
def test_snapshot_notices_every_kind_of_change(change):
    """A family of tests is worth what its comparison sees."""
    network = Network()
    before = snapshot(network)
    change(network)
    assert snapshot(network) != before
