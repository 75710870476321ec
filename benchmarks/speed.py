"""Speed of the search, as ratios within one run: against the published program's loop, and against the floor.

    python -m benchmarks.speed --rounds 6

ResNet-56 (CIFAR-10, 28 sites), `released`, ten classes, the same mini-batches of 16 for all. Variants take turns.

loop    The published program's way, told plainly: class after class, two copies of the network, weights that require
        gradients, one mini-batch at a time, all losses left to autograd. Its scores are compared with ours.
ours    One pass of the search; `first` computes what the untouched network does, `kept` has it from an earlier pass.
floor   The least that such a step can do: one forward without gradients, one gated forward, one backward to the gates,
        on the same graph, memory order, threads and batch as the search it stands beside.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import torch
from torch.nn import functional

from benchmarks.common import keep, real_data, user_networks
from unweave.data.cifar import cifar
from unweave.data.labelled import labelled
from unweave.data.preprocessing import Preprocessing
from unweave.network.capture import capture
from unweave.network.folding import channels_last, fold_batch_norms
from unweave.network.sites import sites_of
from unweave.network.tapping import Multiplier, Recorder, TappedNetwork
from unweave.search.objectives import objective_named
from unweave.search.plan import Plan
from unweave.search.preparation import prepare
from unweave.search.solver import Solver

BETA, RATE = 0.1, 0.1


def gated_forward(network, images, gates):
    """Class scores and the gated activations; `gates` None: the untouched network."""
    values = [functional.relu(network.bn1(network.conv1(images)))]
    for position, block in enumerate([None, *network.layer1, *network.layer2, *network.layer3]):
        value = values[-1] if block is None else block(values[-1])
        if gates is not None:
            value = value * torch.sigmoid(gates[position]).view(1, -1, 1, 1)
        if block is None:
            values[-1] = value
        else:
            values.append(value)
    return network.linear(values[-1].mean((2, 3))), values


def loop_pass(network, solver, number):
    """One pass of the published program's loop over all classes; `solver` supplies start, mini-batches and images."""
    result = []
    batches = solver.batches(number)
    for row, c in enumerate(t.key for t in solver.plan.targets):
        untouched, masked = copy.deepcopy(network), copy.deepcopy(network)
        scores = [table[row].clone().requires_grad_() for table in solver.scores]
        count = len(scores)
        for batch in batches:
            for owner, positions in batch:
                if owner != row:
                    continue
                images = solver.data.images(positions)
                labels = torch.full((len(images),), c)
                with torch.no_grad():
                    reference_scores, reference = gated_forward(untouched, images, None)
                right = reference_scores.argmax(1) == labels
                if not right.any():
                    continue
                found, values = gated_forward(masked, images, scores)
                loss = functional.cross_entropy(found, labels)
                for value, own in zip(values, reference, strict=True):
                    loss = loss + functional.mse_loss(value[right], own[right])
                loss = loss / count
                for score in scores:
                    loss = loss + BETA / count * torch.sigmoid(score).square().mean()
                masked.zero_grad(set_to_none=True)
                for score in scores:
                    score.grad = None
                loss.backward()
                with torch.no_grad():
                    for score in scores:
                        score.sub_(RATE * score.grad / score.grad.norm().clamp_min(1e-12))
        result.append([score.detach() for score in scores])
    return [torch.stack([rows[site] for rows in result]) for site in range(len(solver.scores))]


def floor_pass(tapped, solver, number, *, layout):
    """Forward, gated forward and backward to the gates, on the search's own batches."""
    for batch in solver.batches(number):
        images = torch.cat([solver.data.images(positions) for _, positions in batch])
        images = images.contiguous(memory_format=layout)
        with torch.no_grad():
            tapped(images, Recorder())
        gates = [torch.rand(len(images), site.channels).requires_grad_() for site in tapped.sites]
        scores = tapped(images, Multiplier(tapped.sites, gates))
        torch.autograd.grad(scores.logsumexp(1).sum(), gates)


def timed(function, *arguments, **keywords):
    started = time.perf_counter()
    result = function(*arguments, **keywords)
    return time.perf_counter() - started, result


class Contiguous(Solver):
    """The search with images in contiguous order, for the comparison of memory orders only."""

    def place(self, images):
        return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--images", type=int, default=32, help="images a class")
    parser.add_argument("--rows", type=int, nargs="+", default=[2, 5, 10], help="classes in one batch")
    arguments = parser.parse_args()

    network = user_networks().resnet56()
    images = labelled(cifar(real_data() / "data" / "cifar10", "cifar10", True, Preprocessing("imagenet")))
    # Read once, so that no variant waits for pictures.
    chosen = [position for c in range(10) for position in images.of_class(c, arguments.images)]
    data = labelled(torch.utils.data.TensorDataset(images.images(chosen), torch.as_tensor(images.labels[chosen])))
    chosen_by_search = prepare(network, data, "block", None, None)
    captured = capture(network, data.images([0, 1]))
    sites = sites_of(captured, "block")
    folded = fold_batch_norms(captured, sites)
    variants = {
        ("unfolded", "contiguous"): captured,
        ("unfolded", "channels-last"): channels_last(captured),
        ("folded", "contiguous"): folded,
        ("folded", "channels-last"): channels_last(folded),
    }
    objective = objective_named("released", BETA)

    def solver(tapped, rows, kept, layout):
        plan = Plan.of_classes(range(10), rows_per_batch=rows, kept=kept)
        kind = Solver if layout == "channels-last" else Contiguous
        return kind(tapped, objective, data, plan, torch.device("cpu"), torch.float32, plan.store(data))

    best = {}
    for key, graph in variants.items():
        tapped = TappedNetwork(graph, sites)
        best[key] = {(rows, kept): solver(tapped, rows, kept, key[1]) for rows in arguments.rows for kept in (0, 1)}
        for one in best[key].values():
            one.run_pass(0)  # fills what is kept, and warms up
    fresh = solver(TappedNetwork(variants["folded", "channels-last"], sites), 5, False, "channels-last")
    start = [table.clone() for table in fresh.scores]
    _, of_loop = timed(loop_pass, network, fresh, 0)
    fresh.run_pass(0)
    moved = max(float((ours - begin).abs().max()) for ours, begin in zip(fresh.scores, start, strict=True))
    difference = max(float((ours - theirs).abs().max()) for ours, theirs in zip(fresh.scores, of_loop, strict=True))
    same = sum(int(((a > 0) == (b > 0)).sum()) for a, b in zip(fresh.scores, of_loop, strict=True))

    samples: dict[str, list[float]] = {}
    for number in range(1, arguments.rounds + 1):
        samples.setdefault("loop", []).append(timed(loop_pass, network, fresh, number)[0])
        for key, solvers in best.items():
            layout = torch.channels_last if key[1] == "channels-last" else torch.contiguous_format
            for (rows, kept), one in solvers.items():
                name = f"ours {'kept' if kept else 'first'}, {key[0]}, {key[1]}, {rows} classes a batch"
                samples.setdefault(name, []).append(timed(one.run_pass, number)[0])
                if not kept:
                    name = f"floor, {key[0]}, {key[1]}, {rows} classes a batch"
                    samples.setdefault(name, []).append(timed(floor_pass, one.tapped, one, number, layout=layout)[0])
    medians = {name: statistics.median(values) for name, values in samples.items()}
    default = f"folded, channels-last, {_default_rows(chosen_by_search)} classes a batch"
    if f"ours first, {default}" not in samples:
        parser.error(f"--rows must contain what disentangle uses here: {_default_rows(chosen_by_search)}")
    first, kept = samples[f"ours first, {default}"], samples[f"ours kept, {default}"]
    samples["ours 20 passes"] = [a + 19 * b for a, b in zip(first, kept, strict=True)]
    samples["loop 20 passes"] = [20 * a for a in samples["loop"]]
    keep(
        "speed_cpu",
        {
            "network": "resnet56",
            "images_per_pass": len(data),
            "what_disentangle_uses": default,
            "seed": 0,
            "loop_over_ours_first_pass": _paired(samples, "loop", f"ours first, {default}"),
            "loop_over_ours_kept_pass": _paired(samples, "loop", f"ours kept, {default}"),
            "loop_over_ours_20_passes": _paired(samples, "loop 20 passes", "ours 20 passes"),
            "ours_first_over_floor": _paired(samples, f"ours first, {default}", f"floor, {default}"),
            "ours_kept_over_floor": _paired(samples, f"ours kept, {default}", f"floor, {default}"),
            "scores_after_one_pass": {
                "moved_at_most": moved,
                "largest_difference_loop_ours": difference,
                "masks_equal": same / sum(table.numel() for table in of_loop),
            },
            "median_seconds": medians,
            "raw": {"seconds": samples},
        },
    )


def _default_rows(prepared) -> int:
    from unweave.search.plan import fastest_rows_per_batch

    return min(10, fastest_rows_per_batch(prepared, 16))


def _paired(samples, over, under):
    """Median of the ratios round by round: robust against a machine whose speed drifts."""
    return statistics.median(a / b for a, b in zip(samples[over], samples[under], strict=True))


if __name__ == "__main__":
    main()
