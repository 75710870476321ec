"""The cost/accuracy curve of decoupled networks: a training for each share of filters to keep.

    python -m benchmarks.decoupled resnet20 --work work/resnet20 --keep 0.4 0.5 0.6 0.7 0.8 --epochs 10

Each is measured after its last epoch on the last 5,000 training images, which were held out, and on the 1,000 test
images, against the given network and against the same network fine-tuned with the same images, epochs, batches, rates
and augmentation. What benchmarks.baselines measured with that budget is put into the same summary and figure. The same
command again goes on; with --figure alone the summary and the figure are made from what is there.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import unweave as uw
from benchmarks.common import keep as keep_result
from benchmarks.fine_tuning import (
    MOST_BYTES,
    NOTE,
    Parts,
    add_options,
    budget_of,
    multiply_accumulates,
    once,
    originals,
    packed,
    paired,
    started,
    top1,
    unpacked,
)
from benchmarks.pages import DOCS, results
from unweave.decoupling.training.folder import TrainingFolder
from unweave.decoupling.training.measurement import data_cost, measure
from unweave.decoupling.training.processes import Processes
from unweave.decoupling.training.settings import FitSettings
from unweave.errors import UnweaveError
from unweave.views.style import CHANCE, ORIGINAL, RANDOM, SUB_ARCHITECTURE, save_figure

COLOURS = {"decoupled": SUB_ARCHITECTURE, "l1": RANDOM, "slimming": CHANCE}
NAMES = {"decoupled": "decoupled (one path an input)", "l1": "L1 pruning", "slimming": "network slimming"}


def trained(
    parts: Parts, settings: FitSettings, arguments: argparse.Namespace, keep: float | None, name: str
) -> dict[str, Any]:
    """One decoupled network, trained and measured; its weights are saved."""
    folder = TrainingFolder(arguments.work / name / "run")
    net = uw.decouple(parts.network, parts.example, keep, seed=settings.seed)
    table = uw.fit(net, parts.train, parts.held_out, settings=settings, run=folder.root, device=arguments.device)
    hits = parts.hits(net)
    cost, opened = {}, {}
    for part in hits:
        found = data_cost(net, parts.images(part))
        cost[part] = {"mean": found.mean, "spread": found.spread, "inputs_with_an_empty_layer": found.empty}
        opened[part] = measure(net, parts.images(part), "float32", Processes()).gates_open
    seconds = {event["epoch"]: event["seconds"] for event in folder.journal.read() if event["event"] == "epoch"}
    return {
        "multiply_accumulates": cost,
        "gates_open": opened,
        "epochs": [dict(zip(table.columns, row, strict=True)) for row in zip(*table.columns.values(), strict=True)],
        "seconds_an_epoch": sum(seconds.values()) / len(seconds),
        "correct": packed(hits),
        "weights": save_decoupled(net, arguments.checkpoints / f"{name}.safetensors"),
    }


def save_decoupled(net: uw.DecoupledNetwork, file: Path) -> str:
    """For `uw.load_decoupled`; in float16 (for `network.half()`) where float32 would take more than 5 MB."""
    size = sum(value.numel() * value.element_size() for value in net.state_dict().values())
    file.parent.mkdir(parents=True, exist_ok=True)
    (copy.deepcopy(net).half() if size > MOST_BYTES else net).save(file)
    return file.name


def point(parts: Parts, found: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """A decoupled network beside the original."""
    hits = unpacked(found["correct"], parts)
    return {
        **{name: value for name, value in found.items() if name not in ("correct", "epochs")},
        "top1_percent": top1(hits),
        "points_above_fine_tuned_original": paired(hits, before["fine_tuned"]),
        "points_above_given_original": paired(hits, before["given"]),
    }


def baselines(network: str, budget: dict[str, Any]) -> list[dict[str, Any]]:
    """Results of benchmarks.baselines for this network with this budget."""
    found = results(f"baselines_{network}_*.json")
    names = ("file", "method", "share", "multiply_accumulates", "top1_percent", "points_above_fine_tuned_original")
    return [{name: one[name] for name in names} for one in found if one["budget"] == budget]


def figure_of(summary: dict[str, Any]) -> Figure:
    """Accuracy against multiply-accumulates, on held-out and on test images."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    figure.suptitle(f"Accuracy and cost of {summary['network']}", x=0.01, ha="left", fontsize=11, fontweight="bold")
    whole = summary["original_multiply_accumulates"] / 1e6
    panels = {"held_out": f"{summary['held_out']:,} held-out training images", "test": "1,000 test images"}
    for axes, (part, title) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        lines: dict[str, list[tuple[float, float]]] = {name: [] for name in COLOURS}
        for one in summary["decoupled"].values():
            lines["decoupled"].append((one["multiply_accumulates"][part]["mean"], one["top1_percent"][part]))
        for one in summary["baselines"]:
            lines[one["method"]].append((one["multiply_accumulates"], one["top1_percent"]["pruned"][part]))
        for name, points in lines.items():
            if points:
                costs, accuracies = zip(*sorted(points), strict=True)
                millions = [cost / 1e6 for cost in costs]
                axes.plot(millions, accuracies, "o-", color=COLOURS[name], label=NAMES[name], markersize=4)
        tuned, given = (summary["original_top1_percent"][which][part] for which in ("fine_tuned", "given"))
        axes.plot([whole], [tuned], "s", color=ORIGINAL, label="original, fine-tuned alike")
        axes.plot([whole], [given], "s", color=ORIGINAL, fillstyle="none", label="original as given")
        axes.set_title(title, loc="left", fontsize=9)
        axes.set_xlabel("multiply-accumulates, millions (mean over images)", fontsize=9)
        axes.set_ylabel("top-1, %", fontsize=9)
        axes.set_xlim(left=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    figure.supxlabel(
        "Higher and further left is better. All networks but the given one had the same images and epochs.",
        x=0.01,
        ha="left",
        fontsize=8,
        color="#444444",
    )
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument(
        "--keep", nargs="+", type=_share, default=[0.4, 0.5, 0.6, 0.7, 0.8], help="shares of filters, or none"
    )
    parser.add_argument("--controller-rate", type=float, help="what the rate is multiplied by for controlling modules")
    parser.add_argument("--recalibrate", type=int, help="images to estimate batch norms' statistics on after an epoch")
    parser.add_argument("--mutual-information", type=float, help="weight of that loss")
    parser.add_argument("--divergence", type=float, help="weight of that loss")
    parser.add_argument("--sparsity", type=float, help="weight of that loss")
    parser.add_argument("--figure", action="store_true", help="train nothing: summary and figure of what is there")
    arguments = parser.parse_args()
    settings, parts = started(arguments)
    budget = budget_of(settings, len(parts.train))
    if arguments.figure and not (arguments.work / "original.json").is_file():
        sys.exit(f"{arguments.work} holds nothing yet; leave out --figure")
    before = originals(parts, settings, arguments)
    curve, correct, epochs = {}, {which: packed(hits) for which, hits in before.items()}, {}
    for keep in arguments.keep:
        name = f"decoupled_{arguments.network}_keep{_said(keep)}{arguments.label}"
        file = arguments.work / f"{name}.json"
        if arguments.figure and not file.is_file():
            continue
        asked = {"network": arguments.network, "keep": keep, "settings": settings.record(), "images": len(parts.train)}
        try:
            found = once(file, asked, lambda keep=keep, name=name: trained(parts, settings, arguments, keep, name))
        except UnweaveError as error:
            sys.exit(str(error))
        curve[_said(keep)] = point(parts, found, before)
        correct[f"keep {_said(keep)}"], epochs[f"keep {_said(keep)}"] = found["correct"], found["epochs"]
    summary = {
        "network": arguments.network,
        "settings": settings.record(),
        "budget": budget,
        "held_out": len(parts.held_out),
        "original_multiply_accumulates": multiply_accumulates(parts.network, parts.example),
        "original_top1_percent": {which: top1(hits) for which, hits in before.items()},
        "fine_tuned_original_points_above_given": paired(before["fine_tuned"], before["given"]),
        "decoupled": curve,
        "baselines": baselines(arguments.network, budget),
        "note": NOTE,
        "raw": {"correct": correct, "epochs": epochs},
    }
    keep_result(f"decoupled_curve_{arguments.network}{arguments.label}", summary)
    stem = "decoupled_curve" if arguments.network == "resnet20" else f"decoupled_curve_{arguments.network}"
    save_figure(figure_of(summary), DOCS / "images" / f"{stem}{arguments.label}")


def _share(text: str) -> float | None:
    return None if text == "none" else float(text)


def _said(keep: float | None) -> str:
    return "none" if keep is None else f"{keep:g}"


if __name__ == "__main__":
    main()
