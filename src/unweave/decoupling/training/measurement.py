"""What a decoupled network does on a data set: accuracy, filters selected, multiply-accumulates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from unweave.decoupling.cost import count
from unweave.decoupling.network import DecoupledNetwork
from unweave.decoupling.training.images import TrainingImages, in_order
from unweave.decoupling.training.processes import Processes
from unweave.network.capture import capture
from unweave.network.graph import NetworkGraph
from unweave.network.precision import autocast

_BATCH = 256


@dataclass(frozen=True)
class Measured:
    """`accuracy` and `gates_open`: shares of the images and, mean over them, of the controlled filters."""

    accuracy: float
    gates_open: float


@dataclass(frozen=True)
class DataCost:
    """Multiply-accumulates over a data set, controlling modules included: `mean` and `spread` (standard deviation over
    images), `dense` of the original network; `empty`: images for which some layer selects no filter (it is exactly
    zero there)."""

    mean: float
    spread: float
    dense: int
    empty: int


def measure(
    net: DecoupledNetwork,
    images: TrainingImages,
    precision: str,
    processes: Processes,
    *,
    original: bool = False,
) -> Measured:
    """Accuracy and filters selected over all `images`, which the processes share; `original`: with all gates open."""
    sums = torch.zeros(3, dtype=torch.float64, device=images.device)
    net.eval()
    with torch.no_grad(), net.all_open() if original else nullcontext():
        for batch, labels, _ in images.batches(_shared(images.positions, processes)):
            with net.recording(responses=False) as record, autocast(images.device, precision):
                scores = net(batch)
            opened = torch.cat(record.gates, 1).double().mean()
            right = (scores.argmax(1) == labels).sum()
            sums += torch.stack([right.double(), opened * len(labels), opened.new_tensor(len(labels))])
    right, opened, counted = processes.added(sums).tolist()
    return Measured(right / max(1, counted), opened / max(1, counted))


def countable(net: DecoupledNetwork, images: TrainingImages) -> NetworkGraph:
    """The graph that multiply-accumulates are counted from; counted once, with all gates open.

    Raises
    ------
    CaptureError
        If something of the network cannot be counted.
    """
    captured = capture(net.plain(), images.example, net.logits)
    opened = {name: torch.ones(1, layer.convolution.out_channels) for name, layer in net.controlled.items()}
    count(captured, net.layers, opened, 1)
    return captured


def data_cost(
    net: DecoupledNetwork,
    images: TrainingImages,
    precision: str = "float32",
    processes: Processes | None = None,
    captured: NetworkGraph | None = None,
) -> DataCost:
    """What all `images`, which the processes share, take, counted input by input, on the paths that `measure` finds in
    this precision; `captured` is what `countable` gave for this network, if it was called."""
    captured, processes = captured or countable(net, images), processes or Processes()
    totals, empty = [torch.zeros(0, dtype=torch.float64)], 0
    for batch, _, _ in images.batches(_shared(images.positions, processes)):
        with autocast(images.device, precision):
            gates = {name: found.cpu() for name, found in net.gates(batch).items()}
        totals.append(count(captured, net.layers, gates, len(batch)).total.double())
        empty += int(torch.stack([one.sum(1) == 0 for one in gates.values()]).any(0).sum())
    own = torch.cat(totals).to(images.device)
    counted, whole, without = processes.added(own.new_tensor([len(own), float(own.sum()), empty])).tolist()
    mean = whole / max(1, counted)
    squares = float(processes.added((own - mean).square().sum()))
    return DataCost(mean, math.sqrt(squares / max(1, counted)), count(captured, net.layers, {}, 1).dense, int(without))


def _shared(positions: np.ndarray, processes: Processes) -> Sequence[np.ndarray]:
    return in_order(positions[processes.rank :: processes.count], _BATCH)
