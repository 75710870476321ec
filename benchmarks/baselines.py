"""Filters pruned for good, beside filters selected for every input: L1 norms and network slimming.

    python -m benchmarks.baselines resnet20 --work work/resnet20 --methods l1 slimming --shares 0.4 0.6 --epochs 10

`l1` (Li et al. 2017): the filters with the smallest L1 norms go, equally many of each layer. `slimming` (Liu et al.
2017): a first part of the epochs trains with an L1 penalty on the batch norms' scales, then the filters with the
smallest scales of all layers go. What is left is fine-tuned; in all, every network gets the same images, epochs,
batches, rates and augmentation as those of benchmarks.decoupled (each part of slimming runs through the whole schedule
of rates). In residual networks the filters inside of blocks are pruned, whose outputs no addition reads.

Torch-Pruning takes the filters out: pip install 'unweave[benchmarks]'. The same command again goes on.
"""

from __future__ import annotations

import argparse
import copy
import sys
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from benchmarks.common import keep
from benchmarks.fine_tuning import (
    NOTE,
    Parts,
    add_options,
    budget_of,
    fine_tune,
    multiply_accumulates,
    once,
    originals,
    packed,
    paired,
    save_weights,
    started,
    top1,
    unpacked,
)
from unweave.decoupling.layers import layers_of
from unweave.decoupling.training.settings import FitSettings
from unweave.network.capture import capture
from unweave.network.graph import operation_name
from unweave.network.operations import Effect, computed_from_images, data_inputs, operation_of

METHODS = ("l1", "slimming")


@dataclass(frozen=True)
class Prunable:
    """A convolution and its batch norm, by path."""

    convolution: str
    norm: str


def prunable(network: nn.Module, example: torch.Tensor) -> list[Prunable]:
    """Convolutions with a norm, whose filters reach one other convolution or linear layer alone, without meeting other
    values on the way."""
    captured = capture(network, example)
    computed = computed_from_images(captured.graph)
    nodes = [node for node in captured.graph.nodes if operation_name(node) == "conv2d"]
    found = []
    for node, layer in zip(nodes, layers_of(captured, network), strict=True):
        value = node
        while len(value.users) == 1:
            (value,) = value.users
            if (
                value.op == "output"
                or len(data_inputs(value, computed)) > 1
                or operation_of(value).effect is Effect.MIX
            ):
                break
        reached = value.op != "output" and operation_of(value).effect is Effect.MIX and value is not node
        if reached and len(data_inputs(value, computed)) == 1 and layer.norm is not None:
            found.append(Prunable(layer.convolution, layer.norm))
    return found


def importances(network: nn.Module, example: torch.Tensor, layers: list[Prunable], method: str) -> list[torch.Tensor]:
    """What each layer's filters count for, `[filters]`: L1 norms of their weights, or sizes of their norm's scales."""
    pruning = _torch_pruning()
    measure = (
        pruning.importance.MagnitudeImportance(
            p=1, group_reduction="first", normalizer=None, target_types=[nn.modules.conv._ConvNd]
        )
        if method == "l1"
        else pruning.importance.BNScaleImportance(normalizer=None)
    )
    graph = pruning.DependencyGraph().build_dependency(network, example)
    found = []
    for layer in layers:
        convolution = network.get_submodule(layer.convolution)
        everything = list(range(convolution.out_channels))
        found.append(measure(graph.get_pruning_group(convolution, pruning.prune_conv_out_channels, everything)))
    return found


def removed(scores: list[torch.Tensor], count: int, method: str) -> list[list[int]]:
    """About `count` filters to take out, by layer; at least one stays in each. `l1`: the same share of every layer, the
    lowest of it; `slimming`: the lowest of all layers."""
    if method == "l1":
        share = count / sum(map(len, scores))
        least = [min(len(one) - 1, int(share * len(one))) for one in scores]
        return [sorted(one.argsort()[:number].tolist()) for one, number in zip(scores, least, strict=True)]
    candidates = [
        (float(one[filter_]), position, int(filter_))
        for position, one in enumerate(scores)
        for filter_ in one.argsort()[:-1]  # the highest stays
    ]
    found: list[list[int]] = [[] for _ in scores]
    for _, position, filter_ in sorted(candidates)[:count]:
        found[position].append(filter_)
    return [sorted(one) for one in found]


def without(network: nn.Module, example: torch.Tensor, layers: list[Prunable], gone: list[list[int]]) -> nn.Module:
    """A copy of `network` without the filters that are listed for each layer."""
    pruning = _torch_pruning()
    copied = copy.deepcopy(network).eval()
    graph = pruning.DependencyGraph().build_dependency(copied, example)
    for layer, filters in zip(layers, gone, strict=True):
        convolution = copied.get_submodule(layer.convolution)
        if filters:
            graph.get_pruning_group(convolution, pruning.prune_conv_out_channels, filters).prune()
    return copied


def pruned(network: nn.Module, example: torch.Tensor, layers: list[Prunable], method: str, share: float) -> nn.Module:
    """The largest pruned copy that takes at most `share` of the network's multiply-accumulates."""
    scores = importances(network, example, layers, method)
    allowed = share * multiply_accumulates(network, example)
    enough, too_few = sum(map(len, scores)), -1  # numbers of filters to remove
    if multiply_accumulates(without(network, example, layers, removed(scores, enough, method)), example) > allowed:
        sys.exit(f"without all but one filter a layer the network takes more than {share:g} of what it took")
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        smaller = without(network, example, layers, removed(scores, middle, method))
        if multiply_accumulates(smaller, example) <= allowed:
            enough = middle
        else:
            too_few = middle
    return without(network, example, layers, removed(scores, enough, method))


def trained(parts: Parts, settings: FitSettings, arguments: argparse.Namespace, method: str, share: float) -> nn.Module:
    """The network pruned by `method` to `share` and fine-tuned, within the budget."""
    network, example, images = parts.network, parts.example, parts.images("train")
    layers = prunable(network, example)
    before = 0
    if method == "slimming":
        before = min(settings.epochs - 1, max(1, round(arguments.sparse_part * settings.epochs)))
        network = copy.deepcopy(network)
        norms = tuple(network.get_submodule(layer.norm) for layer in layers)
        # The same for all shares: trained once.
        file = arguments.work / "slimming.safetensors"
        first = replace(settings, epochs=before)
        fine_tune(network, images, first, file, penalised=norms, penalty=arguments.penalty).cpu()
    smaller = pruned(network, example, layers, method, share)
    rest = replace(settings, epochs=settings.epochs - before)
    return fine_tune(smaller, images, rest, arguments.work / f"{method}_{share:g}.safetensors", before=before)


def measured(parts: Parts, settings: FitSettings, arguments: argparse.Namespace, method: str, share: float) -> dict:
    """One pruned network, trained and measured; its weights are saved."""
    network = trained(parts, settings, arguments, method, share)
    file = arguments.checkpoints / f"{method}_{arguments.network}_{share:g}{arguments.label}.safetensors"
    layers = prunable(parts.network, parts.example)
    return {
        "multiply_accumulates": multiply_accumulates(network, parts.example),
        "original_multiply_accumulates": multiply_accumulates(parts.network, parts.example),
        "filters_left": {layer.convolution: network.get_submodule(layer.convolution).out_channels for layer in layers},
        "correct": packed(parts.hits(network)),
        "weights": save_weights(network, file),
    }


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ImportError:
        sys.exit("Torch-Pruning is not installed; type: pip install 'unweave[benchmarks]'")
    return torch_pruning


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--shares", nargs="+", type=float, default=[0.4, 0.6], help="of multiply-accumulates")
    parser.add_argument("--penalty", type=float, default=1e-4, help="slimming: weight of the scales' L1 norm")
    parser.add_argument("--sparse-part", type=float, default=0.5, help="slimming: share of the epochs with penalty")
    arguments = parser.parse_args()
    _torch_pruning()
    settings, parts = started(arguments)
    if not all(0 < share <= 1 for share in arguments.shares):
        sys.exit(f"--shares must be above 0 and at most 1, found {arguments.shares}")
    if "slimming" in arguments.methods and (settings.epochs < 2 or not 0 < arguments.sparse_part < 1):
        sys.exit("slimming needs --epochs 2 or more, and --sparse-part between 0 and 1")
    before = originals(parts, settings, arguments)
    budget = budget_of(settings, len(parts.train))
    for method in arguments.methods:
        extra = {"penalty": arguments.penalty, "sparse_part": arguments.sparse_part} if method == "slimming" else {}
        for share in arguments.shares:
            asked = {"network": arguments.network, "method": method, "share": share, "budget": budget, **extra}
            found = once(
                arguments.work / f"{method}_{share:g}.json",
                asked,
                lambda method=method, share=share: measured(parts, settings, arguments, method, share),
            )
            hits = unpacked(found["correct"], parts)
            keep(
                f"baselines_{arguments.network}_{method}_{share:g}{arguments.label}",
                {
                    **asked,
                    **{name: value for name, value in found.items() if name != "correct"},
                    "top1_percent": {"pruned": top1(hits), **{which: top1(one) for which, one in before.items()}},
                    "points_above_fine_tuned_original": paired(hits, before["fine_tuned"]),
                    "points_above_given_original": paired(hits, before["given"]),
                    "note": NOTE,
                    "raw": {"correct": found["correct"]},
                },
            )


if __name__ == "__main__":
    main()
