"""What extraction saves: parameters, multiply-accumulates, bytes and time, before and after."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from unweave.errors import SettingError
from unweave.network.capture import capture
from unweave.network.cost import multiply_accumulates
from unweave.network.shared_copy import shared_copy
from unweave.surgery.extracted import ExtractedNetwork
from unweave.tables import Table

_MEANINGS = {
    "network": "the whole network as it was given, in evaluation mode, and what was extracted of it",
    "parameters": "numbers that training changes",
    "multiply_accumulates": "of convolutions, linear layers and matrix products, for one image",
    "bytes": "of all weights, as a file holds them",
}


def extraction_cost(
    network: nn.Module,
    small: ExtractedNetwork,
    example: Tensor,
    *,
    batches: Sequence[int] = (1, 32),
    repeats: int = 7,
    logits: str | int | None = None,
) -> Table:
    """Parameters, multiply-accumulates, bytes and milliseconds of `network` and of what was extracted of it.

    Times are medians of `repeats`, on one thread, the two networks taking turns; `summary` has the ratios before /
    after, and says `not faster` where it is not. Less arithmetic is not always less time: moving channels around a sum
    takes some, and narrow layers use a processor worse than wide ones.

    Parameters
    ----------
    network, small
        The whole network, and the result of `extract`.
    example
        Images `[batch, ...]`, repeated to the sizes of `batches`; no size: no times.
    logits
        As for `find_sites`.

    Raises
    ------
    CaptureError
        If the network cannot be captured, or an operation's multiply-accumulates are not known.
    SettingError
        If a batch size or `repeats` is not at least 1.
    """
    if any(size < 1 for size in batches) or repeats < 1:
        raise SettingError("batches must be sizes from 1 on, and repeats at least 1: batches=(1, 32), repeats=7")
    whole = shared_copy(network)
    with torch.inference_mode(False), torch.no_grad():
        captured = capture(network, example, logits)
        images = example.to(captured.device)
        before = sum(multiply_accumulates(captured.graph, captured.names).values())
        after = sum(multiply_accumulates(_with_shapes(small, images[:1]), {}).values())
        times = {size: _times((whole, small), _batch(images, size), repeats) for size in batches}
    both: tuple[nn.Module, ...] = (whole, small)
    columns: dict[str, tuple[Any, ...]] = {
        "network": (captured.network_name, f"extracted: {small.row}"),
        "parameters": tuple(sum(one.numel() for one in module.parameters()) for module in both),
        "multiply_accumulates": (before, after),
        "bytes": tuple(_bytes(module) for module in both),
        **{f"milliseconds_{size}": found for size, found in times.items()},
    }
    meanings = {**_MEANINGS, **{f"milliseconds_{size}": _meaning(size) for size in batches}}
    title = f"{captured.network_name}, and what was extracted of it for {small.row}"
    return Table(title, columns, meanings, _ratios(columns))


def _meaning(size: int) -> str:
    images = "one image" if size == 1 else f"a batch of {size} images"
    return f"median time of {images}, on one thread; the networks take turns"


def _ratios(columns: dict[str, tuple[Any, ...]]) -> dict[str, float | int | str]:
    """Before / after of every column."""
    found: dict[str, float | int | str] = {}
    for name, (before, after) in ((name, values) for name, values in columns.items() if name != "network"):
        found[f"{name}_ratio"] = float(before) / max(float(after), 1e-12)
        if name.startswith("milliseconds"):
            found[name.replace("milliseconds", "verdict")] = "faster" if after < before else "not faster"
    return found


def _bytes(module: nn.Module) -> int:
    return sum(one.nbytes for one in module.state_dict().values())


def _batch(images: Tensor, size: int) -> Tensor:
    repeated = images.repeat(-(-size // len(images)), *[1] * (images.ndim - 1))
    return repeated[:size].contiguous()


def _times(modules: Sequence[nn.Module], images: Tensor, repeats: int) -> tuple[float, ...]:
    """Median milliseconds of each, on one thread, taking turns; the first turn is not counted."""
    seconds: list[list[float]] = [[] for _ in modules]
    with _one_thread():
        for _ in range(repeats + 1):
            for module, found in zip(modules, seconds, strict=True):
                begun = _now(images.device)
                module(images)
                found.append(_now(images.device) - begun)
    return tuple(1000 * statistics.median(found[1:]) for found in seconds)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class _Shapes(fx.Interpreter):
    """Runs a graph and notes the shapes of its values."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        held = [result] if isinstance(result, Tensor) else result
        if isinstance(held, list | tuple) and all(isinstance(one, Tensor) for one in held):
            shapes = [torch.empty_like(one, device="meta") for one in held]
            n.meta["val"] = shapes[0] if isinstance(result, Tensor) else shapes
        return result


def _with_shapes(small: ExtractedNetwork, images: Tensor) -> fx.Graph:
    _Shapes(small).run(images)
    graph: fx.Graph = small.graph
    return graph
