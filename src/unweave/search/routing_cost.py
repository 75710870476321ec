"""What routing will take, estimated from a few steps on some of its own inputs before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass

from torch import Tensor

from unweave.estimates import Estimate, duration, size
from unweave.search.preparation import Prepared
from unweave.search.routing_gates import Descent, find_routes


@dataclass(frozen=True)
class RoutingCost(Estimate):
    """What routing will take: `seconds` expected; `disk`: bytes of the result and of what is kept to go on from."""

    inputs: int
    steps: int
    seconds: float
    disk: int

    def words(self) -> str:
        """Counts, time and bytes, for a person."""
        return f"{self.inputs} inputs x {self.steps} steps: about {duration(self.seconds)}, {size(self.disk)} disk"


def estimate_routing(prepared: Prepared, images: Tensor, inputs: int, descent: Descent) -> RoutingCost:
    """The cost of routing so many `inputs`, in batches as large as `images`, which are where the network is."""
    find_routes(prepared, images, Descent(steps=1))  # warms up
    started = time.perf_counter()
    find_routes(prepared, images, Descent(steps=2))
    # A backward pass takes about as long as a forward one; s steps are s of the one and s + 3 of the other.
    seconds = (time.perf_counter() - started) / 7 * (2 * descent.steps + 3) * inputs / len(images)
    channels = prepared.sites.channels
    itemsize = images.element_size() if images.is_floating_point() else 4
    return RoutingCost(inputs, descent.steps, seconds, inputs * (2 * channels * itemsize + channels // 8))
