"""Routing many inputs in one batch against one by one: same gates, how much faster.

    python -m benchmarks.route

ResNet-56 on CIFAR-10 test images, block outputs, the published settings. `together` routes all images in one batch.
`alone` routes a few of them one at a time, by the same code; `plain` routes these as the method is told, with the
network's own modules, one image at a time, torch's optimiser and all left to autograd. Their times for all are those
of one times the number of images. A descent of 30 steps through ReLUs can enlarge differences of rounding, so the
same is done in float64, where nothing but the method could make them differ. All take turns, so that what else the
machine does meets all; capture and preparation are outside of every time.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import TensorDataset

from benchmarks.common import keep, user_networks
from benchmarks.images import data_of
from unweave.data.labelled import LabelledImages, labelled
from unweave.search.preparation import Prepared, prepare
from unweave.search.routing_gates import Descent, Routes, find_routes


def timed(prepared: Prepared, images: torch.Tensor, descent: Descent) -> tuple[float, Routes]:
    placed = images.contiguous(memory_format=torch.channels_last)
    started = time.perf_counter()
    found = find_routes(prepared, placed, descent)
    return time.perf_counter() - started, found


def plain_scores(network, image, gates):
    """Class scores of a CIFAR ResNet whose stem and blocks are multiplied with `gates`."""
    values = functional.relu(network.bn1(network.conv1(image))) * gates[0].view(1, -1, 1, 1)
    for block, gate in zip([*network.layer1, *network.layer2, *network.layer3], gates[1:], strict=True):
        values = block(values) * gate.view(1, -1, 1, 1)
    return network.linear(values.mean((2, 3)))


def timed_plain(network, image: torch.Tensor, channels: list[int], descent: Descent) -> tuple[float, torch.Tensor]:
    started = time.perf_counter()
    with torch.no_grad():
        wanted = network(image).softmax(1)
    gates = [torch.ones(count, requires_grad=True) for count in channels]
    optimiser = torch.optim.SGD(gates, descent.rate, descent.momentum)
    lowest, best = float("inf"), None
    for _ in range(descent.steps + 1):
        scores = plain_scores(network, image, gates)
        loss = functional.cross_entropy(scores, wanted) + descent.weight * sum(gate.sum() for gate in gates)
        if loss.item() < lowest and scores.argmax() == wanted.argmax():
            lowest, best = loss.item(), torch.cat([gate.detach().clone() for gate in gates])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for gate in gates:
                gate.clamp_(0, descent.bound)
    assert best is not None
    return time.perf_counter() - started, best


def compared(together: Routes, alone: list[Routes], rows: np.ndarray) -> dict[str, float]:
    """How far the gates of inputs in a batch are from those of the same inputs one by one."""
    gates, taken = torch.cat([one.gates for one in alone]), torch.cat([one.taken for one in alone])
    same = taken == together.taken[rows]
    difference = (gates - together.gates[rows]).abs().amax(1)
    return {
        "inputs_compared": len(rows),
        "largest_gate_difference": float(difference.max()),
        # Where two iterates' losses are equal but for rounding, either may be taken.
        "inputs_with_the_same_iterate": int(same.sum()),
        "largest_gate_difference_of_the_same_iterate": float(difference[same].max()) if same.any() else float("nan"),
        "masks_equal": float(((gates > 0) == (together.gates[rows] > 0)).double().mean()),
    }


def in_double(images: torch.Tensor) -> LabelledImages:
    """A few of the images in float64, to prepare a network of that precision with."""
    return labelled(TensorDataset(images[:8].double(), torch.zeros(8, dtype=torch.long)))


def times(one_by_one: list[list[float]], together: list[float], images: int) -> dict[str, float]:
    """Seconds for all images one by one, and how many times slower that is than all together, round by round."""
    seconds = [statistics.mean(singles) * images for singles in one_by_one]
    ratios = [apart / whole for apart, whole in zip(seconds, together, strict=True)]
    return {
        "seconds_extrapolated": statistics.median(seconds),
        "times_slower": statistics.median(ratios),
        "times_slower_lowest": min(ratios),
        "times_slower_highest": max(ratios),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet56", choices=("resnet20", "resnet56"))
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--alone", type=int, default=20, help="images that are also routed one by one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    descent = Descent(steps=arguments.steps)
    _, test = data_of(arguments.network)
    network = getattr(user_networks(), arguments.network)().eval()
    prepared = prepare(network, test, "block", None, None)
    channels = [site.channels for site in prepared.sites]
    images = test.images(np.linspace(0, len(test) - 1, arguments.images).astype(np.int64))
    rows = np.linspace(0, len(images) - 1, min(arguments.alone, len(images))).astype(np.int64)
    for warming in (images, images[:1]):
        find_routes(prepared, warming, Descent(steps=1))
    timed_plain(network, images[:1], channels, Descent(steps=1))
    seconds_together, seconds_alone, seconds_plain = [], [], []
    for _ in range(arguments.rounds):
        seconds, together = timed(prepared, images, descent)
        seconds_together.append(seconds)
        singles = [timed(prepared, images[row : row + 1], descent) for row in rows]
        seconds_alone.append([seconds for seconds, _ in singles])
        told = [timed_plain(network, images[row : row + 1], channels, descent) for row in rows]
        seconds_plain.append([seconds for seconds, _ in told])
    difference = (torch.stack([gates for _, gates in told]) - together.gates[rows]).abs().amax(1)
    precise = prepare(network.double(), in_double(images), "block", None, None)
    exact = find_routes(precise, images[rows].double(), descent)
    exact_alone = [find_routes(precise, images[row : row + 1].double(), descent) for row in rows]
    keep(
        "route",
        {
            "network": arguments.network,
            "images": len(images),
            "settings": descent.record(),
            "channels": prepared.sites.channels,
            "seconds_together": statistics.median(seconds_together),
            "alone": times(seconds_alone, seconds_together, len(images)),
            "plain": times(seconds_plain, seconds_together, len(images)),
            "float32": compared(together, [found for _, found in singles], rows),
            "float64": compared(exact, exact_alone, np.arange(len(rows))),
            "float64_against_float32": compared(exact, [found for _, found in singles], np.arange(len(rows))),
            "plain_gate_differences": difference.tolist(),
            "share_of_channels_kept": float((together.gates > 0).double().mean()),
            "all_gates_open": int((together.taken == 0).sum()),
            "masks_keep_prediction": float(together.masks_keep.double().mean()),
            "raw": {
                "seconds_together": seconds_together,
                "seconds_alone": seconds_alone,
                "seconds_plain": seconds_plain,
            },
        },
    )


if __name__ == "__main__":
    main()
