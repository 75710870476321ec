"""The descent of the gates, against a plain retelling and by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.search.problems import small_problem
from unweave.data.labelled import labelled
from unweave.errors import NumericError, SettingError
from unweave.search.preparation import prepare
from unweave.search.routing_gates import Descent, by_site, find_routes


def gated_scores(network, images, gates):
    """The small problem's network with gates `[batch, channels]` at its three sites."""
    first, second, third = (gate[:, :, None, None] for gate in gates)
    values = network.relu_a(network.norm(network.stem(images))) * first
    values = network.relu_b(values + network.inner(values)) * second
    values = network.relu_c(network.last(values)) * third
    return network.classifier(values.mean((2, 3)))


def told_plainly(network, image, descent):
    """One input: `(gates, iterate, loss)` of the path, with torch's own optimiser and all left to autograd."""
    wanted = functional.softmax(network(image[None]), 1).detach()
    gates = [torch.ones(1, channels, dtype=image.dtype, requires_grad=True) for channels in (4, 4, 5)]
    optimiser = torch.optim.SGD(gates, lr=descent.rate, momentum=descent.momentum)
    found = None
    for step in range(descent.steps + 1):
        scores = gated_scores(network, image[None], gates)
        loss = -(wanted * functional.log_softmax(scores, 1)).sum() + descent.weight * sum(g.sum() for g in gates)
        if scores.argmax() == wanted.argmax() and (found is None or loss.item() < found[2]):
            found = torch.cat([g.detach().clone() for g in gates], 1)[0], step, loss.item()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for gate in gates:
                gate.clamp_(0, descent.bound)
    return found


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=str)
def problem(request):
    """`(prepared network, network, images, tolerance)`."""
    network, data = small_problem(request.param)
    prepared = prepare(network, labelled(data), "block", None, None)
    return prepared, network, data.tensors[0][:12], 1e-5 if request.param == torch.float32 else 1e-12


SETTINGS = [Descent(), Descent(rate=0.5, bound=1.5), Descent(momentum=0.0, weight=0.3), Descent(steps=5, weight=0.01)]


@pytest.mark.parametrize("descent", SETTINGS, ids=lambda d: f"{d.steps}-{d.rate}-{d.momentum}-{d.weight}-{d.bound}")
def test_routes_equal_a_plain_retelling_input_by_input(problem, descent):
    prepared, network, images, tolerance = problem
    found = find_routes(prepared, images, descent)
    for row, image in enumerate(images):
        gates, taken, loss = told_plainly(network, image, descent)
        assert torch.allclose(found.gates[row], gates, rtol=0, atol=tolerance)
        assert int(found.taken[row]) == taken
        assert math.isclose(float(found.losses[row]), loss, rel_tol=tolerance)


def test_a_batch_equals_its_inputs_one_by_one(problem):
    prepared, _, images, tolerance = problem
    together = find_routes(prepared, images, Descent())
    for row in range(len(images)):
        alone = find_routes(prepared, images[row : row + 1], Descent())
        assert torch.allclose(together.gates[row], alone.gates[0], rtol=0, atol=tolerance)
        assert together.taken[row] == alone.taken[0]


def test_gates_keep_the_networks_own_prediction(problem):
    prepared, network, images, _ = problem
    found = find_routes(prepared, images, Descent(rate=0.5, weight=0.3))
    own = network(images).argmax(1)
    assert torch.equal(found.predictions, own)
    assert torch.equal(gated_scores(network, images, by_site(found.gates, prepared.sites)).argmax(1), own)
    assert len(set(found.taken.tolist())) > 2  # not simply the last iterate of each


def test_masks_alone_are_tried_too(problem):
    prepared, network, images, _ = problem
    found = find_routes(prepared, images, Descent(rate=0.5, weight=0.3))
    masks = by_site((found.gates > 0).to(images.dtype), prepared.sites)
    kept = gated_scores(network, images, masks).argmax(1) == network(images).argmax(1)
    assert torch.equal(found.masks_keep, kept)


def test_gates_stay_between_zero_and_the_bound(problem):
    prepared, _, images, _ = problem
    free, bounded = (find_routes(prepared, images, Descent(rate=1.0, weight=0.01, bound=b)) for b in (10.0, 1.25))
    assert float(free.gates.max()) > 1.25
    assert float(bounded.gates.max()) == 1.25
    assert float(bounded.gates.min()) == 0.0


class TwoChannels(nn.Module):
    """Class scores `(2 a, other)` of an image `[2, 1, 1]` of `(a, b)`; a gate each for `a` and `b`."""

    def __init__(self, other=0.0):
        super().__init__()
        self.conv, self.relu, self.classifier = nn.Conv2d(2, 2, 1, bias=False), nn.ReLU(), nn.Linear(2, 2)
        nn.init.dirac_(self.conv.weight)
        self.classifier.weight.data = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
        self.classifier.bias.data = torch.tensor([0.0, other])

    def forward(self, images):
        return self.classifier(self.relu(self.conv(images)).mean((2, 3)))


def routed_by_hand(network, image, **settings):
    images = torch.tensor(image).view(1, 2, 1, 1)
    prepared = prepare(network, labelled(torch.utils.data.TensorDataset(images, torch.zeros(1))), "filter", None, None)
    return find_routes(prepared, images, Descent(**settings))


def test_two_steps_by_hand():
    """At g = 1 the cross entropy's slope is 0, so that both gates go by rate x weight = 0.05 to 0.95. Then gate 0 is
    held back by 2 (s(1.9) - s(2)) = 2 (0.869892 - 0.880797) = -0.021811 (s: the logistic function), gate 1 by nothing:
    v = 0.9 x 0.5 + 0.5 - 0.021811 = 0.928189, g = 0.95 - 0.0928189; and v = 0.95, g = 0.95 - 0.095."""
    found = routed_by_hand(TwoChannels(), (1.0, 1.0), steps=2, weight=0.5)
    assert found.gates[0].tolist() == pytest.approx([0.857181, 0.855], abs=1e-6)
    assert found.taken.tolist() == [2]
    loss = -(0.880797 * math.log(0.847406) + 0.119203 * math.log(0.152594)) + 0.5 * (0.857181 + 0.855)
    assert found.losses.tolist() == pytest.approx([loss], abs=1e-5)


def test_a_channel_that_does_nothing_closes_after_29_of_the_published_steps():
    """After t steps it is at 1 - 0.05 (t - 9 (1 - 0.9^t)): 0.03 at 28, and held at 0 from 29 on."""
    gates = {steps: float(routed_by_hand(TwoChannels(), (1.0, 1.0), steps=steps).gates[0, 1]) for steps in (28, 30)}
    assert gates == {28: pytest.approx(1 - 0.05 * (28 - 9 * (1 - 0.9**28)), abs=1e-5), 30: 0.0}
    assert float(routed_by_hand(TwoChannels(), (1.0, 1.0)).gates[0, 0]) > 0.2


def test_where_every_step_changes_the_prediction_all_gates_stay_open():
    """The first step takes the gate to 0.9, and 2 x 0.9 is less than the other class's 1.9; the loss is lower there."""
    found = routed_by_hand(TwoChannels(other=1.9), (1.0, 1.0), steps=3, weight=1.0)
    assert found.gates.tolist() == [[1.0, 1.0]]
    assert found.taken.tolist() == [0]


def test_gates_that_make_activations_overflow_are_refused_by_site():
    with pytest.raises(NumericError, match=r"first at site 'relu/relu:0', at step 2 of the gates; a lower rate"):
        routed_by_hand(TwoChannels(), (1e10, 1.0), rate=1e29, momentum=0.0, bound=9e29)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, found 0"),
        ({"steps": 2.5}, r"steps must be a whole number of at least 1, found 2\.5"),
        ({"rate": 0}, "rate must be above 0"),
        ({"rate": math.nan}, r"rate must be a number of at least 0 and below 1e\+30, found nan"),
        ({"momentum": 1.0}, r"momentum must be a number of at least 0 and below 1, found 1\.0"),
        ({"weight": -1}, r"weight must be a number of at least 0 and below 1e\+30, found -1"),
        ({"weight": "0.1"}, r"weight must be a number of at least 0 and below 1e\+30, found '0\.1'"),
        ({"bound": 0.5}, r"bound must be a number of at least 1 and below 1e\+30, found 0\.5"),
        ({"bound": 1e30}, r"bound must be .* below 1e\+30, found 1e\+30"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        Descent(**settings)
