"""Choosing by measurement how the convolutions of a sparse network are computed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import get_args

import torch
from torch import Tensor, fx

from unweave.decoupling.sparse.convolution import Shared, SparseConvolution
from unweave.decoupling.sparse.plan import Batches, Choice, Method, Order, Plan
from unweave.decoupling.sparse.selection import Selection, widened

_REPEATS = 3
_ROUNDS = 2
_SINGLE_INPUTS = 4
_START = Choice("both")

Seconds = dict[str, dict[Choice, list[float]]]


def measured_plan(
    module: fx.GraphModule, convolutions: Sequence[SparseConvolution], shared: Shared, example: Tensor
) -> Plan:
    """The fastest choice of every convolution on the `example` inputs: for the first few one by one, and for all of
    them together.

    Every choice of a layer is timed in place, on the values that reach it, in seeded random order; of three times the
    shortest counts, averaged over inputs. What is then needed to go on with all channels belongs to the layer. In the
    second round values flow as the first one chose.
    """
    single, alone = _choices(module, convolutions, shared, list(torch.split(example[:_SINGLE_INPUTS], 1)))
    together, joint = (single, {}) if len(example) == 1 else _choices(module, convolutions, shared, [example])
    use(convolutions, Plan(single, together))
    return Plan(single, together, _batches(module, example), _described(alone, joint))


def use(convolutions: Sequence[SparseConvolution], plan: Plan) -> None:
    """Let the convolutions compute as `plan` says."""
    for one in convolutions:
        one.single, one.together = plan.single[one.name], plan.together[one.name]


def _choices(
    module: fx.GraphModule, convolutions: Sequence[SparseConvolution], shared: Shared, batches: Sequence[Tensor]
) -> tuple[dict[str, Choice], Seconds]:
    best = {one.name: _START for one in convolutions}
    seconds: Seconds = {}
    for number in range(_ROUNDS):
        use(convolutions, Plan(best, best))
        seconds = {one.name: {} for one in convolutions}
        shared.watch = _stopwatch(seconds, random.Random(number))
        try:
            for batch in batches:
                module(batch)
        finally:
            shared.watch = None
        best = {name: min(found, key=lambda choice: sum(found[choice])) for name, found in seconds.items()}
    return best, seconds


def _stopwatch(
    seconds: Seconds, order: random.Random
) -> Callable[[SparseConvolution, Tensor, Selection | None, Tensor | None], None]:
    def watch(layer: SparseConvolution, values: Tensor, held: Selection | None, gates: Tensor | None) -> None:
        times: dict[Choice, list[float]] = {choice: [] for choice in _candidates(gates, len(values))}
        for _ in range(_REPEATS):
            for choice in order.sample(list(times), len(times)):
                begun = _now(values.device)
                output, selected = layer.compute(values, held, gates, choice)
                if not layer.ends_compact:
                    widened(output, selected)
                times[choice].append(_now(values.device) - begun)
        for choice, found in times.items():
            seconds[layer.name].setdefault(choice, []).append(min(found))

    return watch


def _candidates(gates: Tensor | None, batch: int) -> list[Choice]:
    """What can pay. A layer without gates can only leave out input channels."""
    if gates is None:
        return [Choice("dense"), Choice("columns"), Choice("columns", "contiguous")]
    methods: list[Method] = ["rows", "columns", "both"] if batch == 1 else ["rows", "columns", "both", "groups"]
    return [Choice("dense"), *(Choice(method, order) for method in methods for order in get_args(Order))]


def _batches(module: fx.GraphModule, example: Tensor) -> Batches:
    """Whether the examples are faster together or one by one."""
    ways: dict[Batches, list[Tensor]] = {"together": [example], "each": list(torch.split(example, 1))}
    seconds: dict[Batches, float] = dict.fromkeys(ways, float("inf"))
    for _ in range(_REPEATS):
        for way, batches in ways.items():
            begun = _now(example.device)
            for batch in batches:
                module(batch)
            seconds[way] = min(seconds[way], _now(example.device) - begun)
    return min(seconds, key=lambda way: seconds[way])


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _described(alone: Seconds, joint: Seconds) -> Mapping[str, Mapping[str, float]]:
    return {
        name: {
            f"{kind}: {choice}": sum(times) / len(times)
            for kind, seconds in (("single", alone), ("together", joint))
            for choice, times in seconds.get(name, {}).items()
        }
        for name in alone
    }
