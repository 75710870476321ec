"""Choosing by measurement how the convolutions of a sparse network are computed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, fx

from unweave.decoupling.sparse.convolution import Shared, SparseConvolution
from unweave.decoupling.sparse.plan import Algorithm, Batches, Choice, Method, Plan
from unweave.decoupling.sparse.selection import Selection, add

_REPEATS = 3
_ROUNDS = 2
_SINGLE_INPUTS = 4
_START = Choice("both")
_NEARLY_ALL = 0.9
"""Where a batch selects this share of the filters, its union is not worth gathering."""

Choices = dict[str, Choice]
Seconds = dict[str, dict[Choice, list[float]]]


def measured_plan(
    module: fx.GraphModule, convolutions: Sequence[SparseConvolution], shared: Shared, example: Tensor
) -> Plan:
    """The fastest choice of every convolution on the `example` inputs: for the first few one by one, and for all of
    them together.

    Every choice of a layer is timed in place, on the values that reach it, in seeded random order; of three times the
    shortest counts, averaged over inputs. What is then needed to go on with all channels belongs to the layer. In the
    second round values flow as the first one chose. As a layer's choice also decides what the next one gets, the whole
    network is timed in the end: with these choices, with the fastest that hand on compact values, and all dense.
    """
    inputs = list(torch.split(example[:_SINGLE_INPUTS], 1))
    single, alone = _choices(module, convolutions, shared, inputs)
    together, joint = (single, {}) if len(example) == 1 else _choices(module, convolutions, shared, [example])
    use(convolutions, Plan(single, together))
    return Plan(single, together, _batches(module, example), _described(alone, joint))


def use(convolutions: Sequence[SparseConvolution], plan: Plan) -> None:
    """Let the convolutions compute as `plan` says."""
    for one in convolutions:
        one.single, one.together = plan.single[one.name], plan.together[one.name]


def _choices(
    module: fx.GraphModule, convolutions: Sequence[SparseConvolution], shared: Shared, batches: Sequence[Tensor]
) -> tuple[Choices, Seconds]:
    best = {one.name: _START for one in convolutions}
    compact = best
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
        best = {one.name: _fastest(seconds[one.name], ()) for one in convolutions}
        if number == 0:
            full: list[Method] = ["dense", "columns", "groups"]
            compact = {one.name: _fastest(seconds[one.name], full if one.ends_compact else ()) for one in convolutions}
    ways = [best, compact, {one.name: Choice("dense") for one in convolutions}]
    return ways[_fastest_way(module, convolutions, ways, batches)], seconds


def _fastest(seconds: Mapping[Choice, list[float]], avoided: Sequence[Method]) -> Choice:
    """The choice that took least, of those with other methods than `avoided` where there are any."""
    allowed = [choice for choice in seconds if choice.method not in avoided] or list(seconds)
    return min(allowed, key=lambda choice: sum(seconds[choice]))


def _fastest_way(
    module: fx.GraphModule,
    convolutions: Sequence[SparseConvolution],
    ways: Sequence[Choices],
    batches: Sequence[Tensor],
) -> int:
    """Which of `ways` takes the whole network through `batches` first; the first of equal ones."""
    different = [number for number, way in enumerate(ways) if way not in ways[:number]]
    seconds = dict.fromkeys(different, 0.0)
    for batch in batches:
        times: dict[int, list[float]] = {number: [] for number in different}
        for _ in range(_REPEATS):
            for number in different:
                use(convolutions, Plan(ways[number], ways[number]))
                begun = _now(batch.device)
                module(batch)
                times[number].append(_now(batch.device) - begun)
        for number, found in times.items():
            seconds[number] += min(found)
    return min(seconds, key=lambda number: seconds[number])


def _stopwatch(
    seconds: Seconds, order: random.Random
) -> Callable[[SparseConvolution, Tensor, Selection | None, Tensor | None], None]:
    def watch(layer: SparseConvolution, values: Tensor, held: Selection | None, gates: Tensor | None) -> None:
        times: dict[Choice, list[float]] = {choice: [] for choice in _candidates(layer, values, held, gates)}
        dense, _ = layer.compute(values, held, gates, Choice("dense"))
        for _ in range(_REPEATS):
            for choice in order.sample(list(times), len(times)):
                begun = _now(values.device)
                output, selected = layer.compute(values, held, gates, choice)
                if not layer.ends_compact:  # most of all into a sum
                    add(dense, None, output, selected, (True, False))
                times[choice].append(_now(values.device) - begun)
        for choice, found in times.items():
            seconds[layer.name].setdefault(choice, []).append(min(found))

    return watch


def _candidates(layer: SparseConvolution, values: Tensor, held: Selection | None, gates: Tensor | None) -> list[Choice]:
    """What can pay, and is not the same as another candidate. For one input it is the same for every input."""
    columns, rows = layer.begins_compact, gates is not None
    if len(values) > 1:
        columns = columns and held is not None and held.count < _NEARLY_ALL * held.channels
        rows = gates is not None and int(gates.any(0).sum()) < _NEARLY_ALL * gates.shape[1]
    methods: list[Method] = ["rows"] if rows else []
    if columns:
        methods += ["columns", "both"] if rows else ["columns"]
    if gates is not None and 1 < len(torch.unique(gates, dim=0)) < len(gates):
        methods.append("groups")
    algorithms: list[Algorithm] = ["channels_last"]
    if len(values) == 1:
        algorithms.append("contiguous")
    if layer.has_few_windows(values):
        algorithms.append("product")
    dense = [Choice("dense", algorithm) for algorithm in algorithms if algorithm != "contiguous"]
    return [*dense, *(Choice(method, algorithm) for method in methods for algorithm in algorithms)]


def _batches(module: fx.GraphModule, example: Tensor) -> Batches:
    """Whether the examples are faster together or one by one."""
    ways: dict[Batches, list[Tensor]] = {"together": [example], "each": list(torch.split(example, 1))}
    if len(example) == 1:
        return "together"
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
