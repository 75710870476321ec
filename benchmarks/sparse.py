"""Real time of a decoupled ResNet-18 at 224 x 224 on one thread, against the original.

    python -m benchmarks.sparse --keep 0.57

torchvision's ResNet-18 with random weights; the controlling modules get random weights too, scaled so that every input
selects about `keep` of the filters, many of them other ones. Norms are folded on both sides. The original runs in both
memory orders, and in channels-last order with ReLUs and sums in place; the fastest counts. Variants take turns, batch
after batch (of 1, 8 and 32); nothing is kept from one image to the next. Time ratio: original / sparse, medians of what
was measured; arithmetic ratio: original / decoupled multiply-accumulates, controlling modules included.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict

import torch
import torchvision
from torch import fx

from benchmarks.common import keep
from unweave.decoupling.network import decouple
from unweave.network.capture import capture
from unweave.network.folding import channels_last, fold_batch_norms

BATCHES = (1, 8, 32)


def choose_at_random(decoupled, images, share, seed=0):
    """Random controlling modules: each gate is open where a number exceeds a threshold; the number has a part that
    belongs to the filter and a part, half as large, that belongs to the input, and `share` of them exceed it."""
    generator = torch.Generator().manual_seed(seed)
    for layer in decoupled.controlled.values():
        expand = layer.controller.expand
        torch.nn.init.normal_(expand.weight, generator=generator)
        torch.nn.init.zeros_(expand.bias)
        found = []
        hook = expand.register_forward_hook(lambda module, arguments, output, found=found: found.append(output))
        decoupled(images)
        hook.remove()
        spread = found[0].std(0).clamp_min(1e-12)
        expand.weight.div_(spread[:, None])
        own = 2 * torch.randn(len(spread), generator=generator)
        numbers = (found[0] - found[0].mean(0)) / spread + own
        threshold = numbers.flatten().quantile(1 - share)
        expand.bias.copy_(own - found[0].mean(0) / spread - threshold)


def in_place(module):
    """The same with ReLUs and sums that change a convolution's or a sum's output, where nothing else reads it."""
    aten = torch.ops.aten
    for node in module.graph.nodes:
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        if node.target not in (aten.relu.default, aten.add.Tensor) or len(source.users) > 1:
            continue
        if source.target in (aten.conv2d.default, aten.add.Tensor, aten.add_.Tensor):
            node.target = {aten.relu.default: torch.relu_, aten.add.Tensor: aten.add_.Tensor}[node.target]
    module.recompile()
    return module


class Timed(fx.Interpreter):
    """Seconds of every node, one list a node."""

    def __init__(self, module):
        super().__init__(module)
        self.seconds = defaultdict(list)

    def run_node(self, node):
        begun = time.perf_counter()
        result = super().run_node(node)
        self.seconds[node.name].append(time.perf_counter() - begun)
        return result


def per_layer(original, order, sparse, images):
    """Median milliseconds of every convolution in both (gates and gathering of weights inside), and of the rest."""
    ours, theirs = Timed(sparse.network), Timed(original)
    for image in images.split(1):
        ours.run(image.contiguous(memory_format=torch.channels_last))
        theirs.run(image.contiguous(memory_format=order))
    convolutions = [node.name for node in original.graph.nodes if node.target is torch.ops.aten.conv2d.default]
    rows, rest = {}, [0.0, 0.0]
    medians = [{name: 1000 * statistics.median(found) for name, found in one.seconds.items()} for one in (theirs, ours)]
    for name, layer in zip(convolutions, sparse.layer_names, strict=True):
        rows[layer] = {"original_ms": medians[0][name], "sparse_ms": medians[1][f"both_of_{name}"]}
    for position, key in enumerate(("original_ms", "sparse_ms")):
        rest[position] = sum(medians[position].values()) - sum(row[key] for row in rows.values())
    return rows, {"original_ms": rest[0], "sparse_ms": rest[1]}


def raced(variants, images, batch):
    """Seconds an image of every variant, one sample a batch, variants taking turns."""
    samples = {name: [] for name in variants}
    for one in images.split(batch):
        for name, (function, order) in variants.items():
            placed = one.contiguous(memory_format=order)
            begun = time.perf_counter()
            function(placed)
            samples[name].append((time.perf_counter() - begun) / len(one))
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=float, default=0.57, help="share of filters that an input selects")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3, help="times that all images are gone through")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    images = torch.randn(arguments.images, 3, arguments.size, arguments.size)
    images *= torch.rand(len(images), 3, 1, 1) * 2  # inputs differ in contrast and colour, as pictures do
    with torch.no_grad():
        decoupled = decouple(network, images[:2], arguments.keep)
        choose_at_random(decoupled, images[:32], arguments.keep)
        gates = torch.cat(list(decoupled.gates(images).values()), 1).bool()
        cost = decoupled.multiply_accumulates(images)
        folded = fold_batch_norms(capture(network, images[:2]))
        contiguous, last = folded.module(), channels_last(folded).module()
        changing = in_place(channels_last(folded).module())
        wanted = torch.cat([decoupled(part) for part in images.split(8)])
        results, raw = {}, {}
        for batch in BATCHES:
            sparse = decoupled.sparse(images[: max(batch, 4)])
            found = torch.cat([sparse(part) for part in images.split(batch)])
            variants = {
                "original, contiguous": (contiguous, torch.contiguous_format),
                "original, channels-last": (last, torch.channels_last),
                "original, channels-last, in place": (changing, torch.channels_last),
                "sparse": (sparse, torch.channels_last),
            }
            samples = defaultdict(list)
            for _ in range(arguments.rounds + 1):
                for name, seconds in raced(variants, images, batch).items():
                    samples[name].append(seconds)
            # The first round builds the backend's kernels.
            kept = {name: [second for one in rounds[1:] for second in one] for name, rounds in samples.items()}
            medians = {name: statistics.median(seconds) for name, seconds in kept.items()}
            original = min((name for name in variants if name != "sparse"), key=medians.__getitem__)
            ratio = medians[original] / medians["sparse"]
            arithmetic = cost.dense / float(cost.total.double().mean())
            results[f"batch {batch}"] = {
                "time_ratio": ratio,
                "time_ratio_of_minima": min(kept[original]) / min(kept["sparse"]),
                "time_ratio_over_arithmetic_ratio": ratio / arithmetic,
                "original": original,
                "median_ms_an_image": {name: 1000 * seconds for name, seconds in medians.items()},
                "batches_go": sparse.plan.batches,
                "largest_relative_difference": float((found - wanted).abs().max() / wanted.abs().max()),
            }
            raw[f"batch {batch}"] = kept
            if batch == 1:
                single = sparse
                rows, rest = per_layer(*variants[original], sparse, images)
    by_layer = {
        name: {
            **row,
            "plan": str(single.plan.single[name]),
            "time_ratio": row["original_ms"] / row["sparse_ms"],
            "multiply_accumulates": float(cost.per_layer[name].double().mean()) + cost.controllers.get(name, 0),
        }
        for name, row in rows.items()
    }
    dense = decouple(network, images[:2]).multiply_accumulates(images[:1]).per_layer
    for name, row in by_layer.items():
        row["arithmetic_ratio"] = float(dense[name][0]) / row["multiply_accumulates"]
        row["time_ratio_over_arithmetic_ratio"] = row["time_ratio"] / row["arithmetic_ratio"]
    keep(
        f"sparse-{arguments.keep}",
        {
            "network": "torchvision resnet18, random weights",
            "image": [3, arguments.size, arguments.size],
            "images": len(images),
            "seed": 0,
            "filters_kept": float(gates.double().mean()),
            "different_paths": len(torch.unique(gates, dim=0)),
            "multiply_accumulates": {
                "original": cost.dense,
                "decoupled_mean": float(cost.total.double().mean()),
                "decoupled_deviation": float(cost.total.double().std()),
                "controlling_modules": sum(cost.controllers.values()),
            },
            "arithmetic_ratio": cost.dense / float(cost.total.double().mean()),
            **results,
            "per_layer": by_layer,
            "other_operations": rest,
            "raw": {"seconds_an_image": raw},
        },
    )


if __name__ == "__main__":
    main()
