"""A small network with uneven, partly misclassified classes, and short ways to search it."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from unweave.data.labelled import labelled
from unweave.search.plan import Plan
from unweave.search.preparation import prepare
from unweave.search.reference import observe
from unweave.search.solver import Solver


class Small(nn.Module):
    """A stem, a residual sum and a strided convolution, each ending in a ReLU of its own: sites of 4, 4, 5 channels."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.inner, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 5, 3, 2, 1)
        self.relu_a, self.relu_b, self.relu_c = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.classifier = nn.Linear(5, 4)

    def forward(self, images):
        values = self.relu_a(self.norm(self.stem(images)))
        values = self.relu_b(values + self.inner(values))
        values = self.relu_c(self.last(values))
        return self.classifier(values.mean((2, 3)))

    @property
    def site_modules(self):
        return [self.relu_a, self.relu_b, self.relu_c]


def small_problem(dtype=torch.float64):
    """`(network, data set)` of 40 images: classes 0, 1, 2 partly right and of different sizes, class 3 never right."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = Small().double().eval()
        network.norm.running_mean.normal_(0, 0.2)
        network.norm.running_var.uniform_(0.5, 2.0)
        images = torch.randn(40, 3, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        network.classifier.weight.mul_(20)
        network.classifier.bias.sub_(network(images).mean(0))
        network.classifier.bias[3] -= 100  # never predicted
        predicted = network(images).argmax(1)
    labels = predicted.clone()
    labels[::7] = 3
    labels[3::9] = (labels[3::9] + 1) % 3
    return network.to(dtype), TensorDataset(images.to(dtype), labels)


def prepared_small(dtype=torch.float64):
    """`(prepared network, labelled images, network)`."""
    network, data = small_problem(dtype)
    images = labelled(data)
    return prepare(network, images, "block", None, None), images, network


def reference_of(prepared, images, positions):
    """What the untouched network does on the images at `positions`."""
    return observe(prepared.tapped, images.images(positions))


def solver_of(prepared, images, objective, classes=(0, 1, 2, 3), **settings):
    """A solver whose plan differs from the defaults in `settings`."""
    plan = Plan.of_classes(
        classes=tuple(classes), **{"batch": 4, "passes": 3, "rows_per_batch": len(classes), **settings}
    )
    return Solver(prepared.tapped, objective, images, plan, prepared.device, prepared.dtype, plan.store(images))


def searched(prepared, images, objective, classes=(0, 1, 2, 3), **settings):
    """A solver that has finished its passes."""
    solver = solver_of(prepared, images, objective, classes, **settings)
    for number in range(solver.plan.passes):
        solver.run_pass(number)
    return solver
