"""Pictures of `studies_*.json`, for `docs/measured.md`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from benchmarks import study_class_pictures
from benchmarks.common import table_of
from benchmarks.study_pages import ORDER, comparison, networks
from unweave.analysis.stability import Stability
from unweave.views.control_plots import draw_self_similarity
from unweave.views.style import CHANCE, ORIGINAL, SUB_ARCHITECTURE, label_sites, new_figure, save_figure

IMAGES = Path(__file__).parent.parent / "docs" / "images"
_COLOURS = dict(
    zip(
        ORDER,
        ("#1f6fb4", "#17a2a2", "#7a5195", "#b3433b", "#e0651e", "#3a8f3a", "#8fbf3f", "#8a8f98"),
        strict=True,
    )
)


def draw(results: Path, images: Path) -> None:
    """All pictures of the results that are there."""
    images.mkdir(parents=True, exist_ok=True)
    for name, methods in networks(results).items():
        for kind, make in (
            ("overview", _overview),
            ("keep_curve", _keep_curves),
            ("hit_rate", _hit_rates),
            ("similarity", _similarities),
        ):
            if (figure := make(name, methods)) is not None:
                _save(figure, images / f"studies_{name}_{kind}")
        for kind in ("usage", "accuracies", "similarities", "misjudgements"):
            if (figure := getattr(study_class_pictures, kind)(name, methods, _COLOURS)) is not None:
                _save(figure, images / f"studies_{name}_{kind}")
    if compared := comparison(results):
        _save(_interpretability(compared), images / "studies_interpretability")


def _save(figure: Figure, stem: Path) -> None:
    for file in save_figure(figure, stem):
        if file.suffix == ".svg":  # the page shows the PNG
            file.unlink()


def _overview(name: str, methods: dict[str, dict[str, Any]]) -> Figure:
    figure, axes = new_figure(
        9.0,
        4.6,
        f"{name}: what each method keeps, and what it says yes to",
        "How to read: for each method, the share of channels that sub-architectures keep, of the class's own images "
        "that are called by it, and of other classes' images that are too (false accepts); means over classes and "
        "seeds, the black lines are deviations over seeds. Dashed: the whole network. Wanted: a low grey, a high blue, "
        "a low red bar.",
    )
    bars = (
        ("kept", "channels kept", "#b8bec6"),
        ("own", "own class", SUB_ARCHITECTURE),
        ("false_accepts", "false accepts", CHANCE),
    )
    for number, (key, label, colour) in enumerate(bars):
        found = [result["figures"][key] for result in methods.values()]
        places = np.arange(len(methods)) + 0.27 * (number - 1)
        axes.bar(places, [f["mean"] for f in found], 0.25, color=colour, label=label)
        axes.errorbar(
            places, [f["mean"] for f in found], [f["deviation"] or 0 for f in found], fmt="none", ecolor="black", lw=1.2
        )
        for place, f in zip(places, found, strict=True):
            axes.annotate(
                f"{100 * f['mean']:.0f}",
                (place, f["mean"] + (f["deviation"] or 0)),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    first = next(iter(methods.values()))["figures"]
    for key, colour in (("original_own", SUB_ARCHITECTURE), ("original_false_accepts", CHANCE)):
        axes.axhline(first[key]["mean"], color=colour, linestyle="--", linewidth=1)
    axes.set_xticks(range(len(methods)), list(methods), fontsize=9)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(0, 1.1)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    return figure


def _deep(result: dict[str, Any], measure: str) -> list[dict[str, Any]]:
    """The tables of the seeds that have this measure."""
    runs = (result["raw"][str(seed)] for seed in result["seeds"])
    return [run[measure]["columns"] for run in runs if measure in run]


def _average(tables: list[dict[str, Any]], column: str) -> np.ndarray:
    return np.mean([np.asarray(table[column], float) for table in tables], 0)


def _keep_curves(name: str, methods: dict[str, dict[str, Any]]) -> Figure | None:
    there = {method: tables for method, result in methods.items() if (tables := _deep(result, "keep_curve"))}
    if not there:
        return None
    figure, axes = new_figure(
        8.4,
        4.8,
        f"{name}: keeping and removing the highest scored channels",
        "How to read: solid, only that share of every site's channels is kept, the highest scored first (rising early "
        "is good); dotted, these are removed and all others kept (falling early is good); dashed grey, random channels "
        "are kept. 0.5 cannot tell a class from the rest. In brackets: the areas under the solid and the dotted curve.",
    )
    for method, tables in there.items():
        shares, areas = _average(tables, "share"), methods[method]["figures"]
        label = f"{method} [{areas['keep_area']['mean']:.2f}, {areas['remove_area']['mean']:.2f}]"
        colour = _COLOURS[method]
        axes.plot(shares, _average(tables, "keep_balanced"), color=colour, marker="o", markersize=3.5, label=label)
        axes.plot(shares, _average(tables, "remove_balanced"), ":", color=colour, linewidth=1.6)
    tables = next(iter(there.values()))
    axes.plot(_average(tables, "share"), _average(tables, "random_balanced"), "--", color=ORIGINAL, label="random")
    axes.axhline(0.5, color=ORIGINAL, linestyle=":", linewidth=0.8)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of every site's channels", fontsize=9)
    axes.set_ylabel("balanced accuracy, mean over classes")
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def _hit_rates(name: str, methods: dict[str, dict[str, Any]]) -> Figure | None:
    there = {method: tables for method, result in methods.items() if (tables := _deep(result, "hit_rate"))}
    if not there:
        return None
    sites = tuple(next(iter(there.values()))[0]["site"])
    figure, axes = new_figure(
        max(8.4, 0.3 * len(sites)),
        4.6,
        f"{name}: hit rate on mosaics of four images",
        "How to read: at each site, the share of the most active pixels that lie on the image of the "
        "sub-architecture's class; 25 % (red) is what a mask has that does not depend on the class. Mean over classes, "
        "mosaics and seeds.",
    )
    for method, tables in there.items():
        axes.plot(_average(tables, "hit_rate"), color=_COLOURS[method], marker="o", markersize=3.5, label=method)
    axes.axhline(0.25, color=CHANCE, linestyle="--", linewidth=1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("hit rate")
    label_sites(axes, sites)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def _similarities(name: str, methods: dict[str, dict[str, Any]]) -> Figure | None:
    there = {method: result for method, result in methods.items() if result["raw"]["stability"] is not None}
    if not there:
        return None
    rows = -(-len(there) // 4)
    columns = min(4, len(there))
    # One method alone would leave no room for the title and the legend side by side.
    figure = Figure(figsize=(max(6.6, 2.9 * columns + 0.4), 2.5 * rows + 1.3), layout="constrained")
    places = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in places.flat[len(there) :]:
        axes.axis("off")
    for axes, (method, result) in zip(places.flat, there.items(), strict=False):
        stable = Stability(*(table_of(result["raw"][key]) for key in ("stability", "stability_classes")))
        table = stable.per_site
        axes.plot(table["other_similarity"], color=SUB_ARCHITECTURE, marker="o", markersize=3, label="to other classes")
        draw_self_similarity(axes, stable)
        axes.set_title(f"{method}: {table.summary['sites_told_apart']} of {len(table)} told apart", fontsize=9)
        axes.set_ylim(0, 1.03)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in places[-1]:
        axes.set_xlabel("site, in forward order", fontsize=8)
    for axes in places[:, 0]:
        axes.set_ylabel("Jaccard similarity", fontsize=8)
    handles, labels = places[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    figure.suptitle(f"{name}: classes and seeds", x=0.01, ha="left", fontsize=11, fontweight="bold")
    sentence = (
        "How to read: red, a class compared with itself under another seed (band: lowest to highest class); blue, with "
        "other classes under another seed. Classes are told apart only where blue is clearly below red (triangles: 95 "
        "% interval over classes)."
    )
    lines = "\n".join(textwrap.wrap(sentence, int(figure.get_figwidth() * 16.5)))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=8, color="#444444")
    return figure


def _interpretability(compared: dict[str, Any]) -> Figure:
    figure, axes = new_figure(
        8.4,
        4.6,
        "Interpretability against discriminability",
        "How to read: to the right, similarities between classes differ more (the preprint calls this interpretable); "
        "up, the whole network is right more often (rows: networks with their top-1 accuracy, in its order). The score "
        "also depends on how many channels are kept: see the table.",
    )
    top1: dict[str, float] = {}
    for table in compared.values():
        top1 |= dict(zip(table["columns"]["network"], table["columns"]["top1"], strict=True))
    order = sorted(top1, key=lambda network: top1[network])
    for method, table in compared.items():
        places = [order.index(network) for network in table["columns"]["network"]]
        axes.scatter(table["columns"]["score"], places, color=_COLOURS[method], s=36, label=method, zorder=3)
    for place in range(len(order)):
        axes.axhline(place, color="#dddddd", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(order)), [f"{network}\n{100 * top1[network]:.1f} %" for network in order], fontsize=8)
    axes.set_xscale("symlog", linthresh=1e-5)
    axes.margins(0.15)
    axes.set_xlabel("interpretability: variance over pairs of accuracy-weighted similarities", fontsize=9)
    axes.set_ylabel("network, by top-1 accuracy")
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure
