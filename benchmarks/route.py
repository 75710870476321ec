"""Routing many inputs in one batch against one by one: same gates, how much faster.

    python -m benchmarks.route

ResNet-56 on CIFAR-10 test images, block outputs, the published settings. `together` routes all images in one batch.
`alone` routes a few of them one at a time, by the same code; its time for all is that of one times their number. Both
take turns, so that what else the machine does meets both; capture and preparation are outside of both.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from benchmarks.common import keep, user_networks
from benchmarks.subarchitectures import data_of
from unweave.search.preparation import Prepared, prepare
from unweave.search.routing_gates import Descent, Routes, find_routes


def timed(prepared: Prepared, images: torch.Tensor, descent: Descent) -> tuple[float, Routes]:
    placed = images.contiguous(memory_format=torch.channels_last)
    started = time.perf_counter()
    found = find_routes(prepared, placed, descent)
    return time.perf_counter() - started, found


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
    prepared = prepare(getattr(user_networks(), arguments.network)(), test, "block", None, None)
    images = test.images(np.linspace(0, len(test) - 1, arguments.images).astype(np.int64))
    rows = np.linspace(0, len(images) - 1, min(arguments.alone, len(images))).astype(np.int64)
    for warming in (images, images[:1]):
        find_routes(prepared, warming, Descent(steps=1))
    seconds_together, seconds_alone = [], []
    for _ in range(arguments.rounds):
        seconds, together = timed(prepared, images, descent)
        seconds_together.append(seconds)
        singles = [timed(prepared, images[row : row + 1], descent) for row in rows]
        seconds_alone.append([seconds for seconds, _ in singles])
    ratios = [
        statistics.mean(alone) * len(images) / whole
        for alone, whole in zip(seconds_alone, seconds_together, strict=True)
    ]
    keep(
        "route",
        {
            "network": arguments.network,
            "images": len(images),
            "settings": descent.record(),
            "channels": prepared.sites.channels,
            "seconds_together": statistics.median(seconds_together),
            "seconds_alone_extrapolated": statistics.median(map(statistics.mean, seconds_alone)) * len(images),
            "times_faster": statistics.median(ratios),
            "times_faster_lowest_and_highest_round": [min(ratios), max(ratios)],
            **compared(together, [found for _, found in singles], rows),
            "share_of_channels_kept": float((together.gates > 0).double().mean()),
            "all_gates_open": int((together.taken == 0).sum()),
            "masks_keep_prediction": float(together.masks_keep.double().mean()),
            "raw": {"seconds_together": seconds_together, "seconds_alone": seconds_alone},
        },
    )


if __name__ == "__main__":
    main()
