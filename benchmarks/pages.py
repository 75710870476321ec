"""Writes the tables of the pages in `docs/` that say what was measured, and the pictures in `docs/images/`, from
`benchmarks/results/`.

python -m benchmarks.pages
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import (
    connection_tables,
    decoupling_tables,
    extraction_pages,
    imagenet_pages,
    planted_pages,
    precision_pages,
    size_pages,
    study_pages,
    study_pictures,
)
from benchmarks.common import RESULTS, table_of
from unweave.views.plots import plot_accuracy, plot_elbow, plot_specificity
from unweave.views.style import RANDOM, SUB_ARCHITECTURE, new_figure, save_figure

DOCS = Path(__file__).parent.parent / "docs"


def results(pattern: str) -> list[dict[str, Any]]:
    """All results whose file name fits, each with its file."""
    return [{"file": file.name, **json.loads(file.read_text())} for file in sorted(RESULTS.glob(pattern))]


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def older() -> list[dict[str, Any]]:
    """Single searches with `released` that the studies of all methods do not cover."""
    studied = study_pages.networks(RESULTS)

    def covered(r: dict[str, Any]) -> bool:
        new = studied.get(r["network"], {}).get("released")
        if new is None:
            return False
        given = new["settings"]
        asked = (r["beta"], r["search_images_per_class"], r["passes"], r.get("rate", 0.1))
        return asked == (new["objective"]["beta"], given["search_images_per_class"], given["passes"], given["rate"])

    return [r for r in results("subarchitectures_*.json") if not covered(r)]


def sub_architectures() -> list[str]:
    head = (
        "| network | beta | images a class, steps | channels kept | own class | whole network | false accepts "
        "| whole network | random mask: own, false accepts | search |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    for r in older():
        s = r["specificity"]
        beta = f"{r['beta']:g}" + (" (elbow)" if r["beta_given"] == "elbow" else "")
        rate = f", rate {r['rate']:g}" if r.get("rate", 0.1) != 0.1 else ""
        count = r["search_images_per_class"]
        there = r["search_images"] // 10
        images = there if count == "all" else min(count, there)
        steps = r.get("steps_per_class") or r["passes"] * -(-images // r["plan"]["batch"])
        lines.append(
            f"| {r['network']} | {beta} | {images}, {steps}{rate} | {percent(r['usage'])} | {percent(s['own'])} "
            f"| {percent(s['original_own'])} | {percent(s['false_accepts'])} | {percent(s['original_false_accepts'])} "
            f"| {percent(s['random_own'])}, {percent(s['random_false_accepts'])} "
            f"| {r['search_seconds']:.0f} s, {r['machine']['threads']} thr. |"
        )
    return lines


def trajectory() -> list[str]:
    lines = ["| beta | passes (steps) | own class | false accepts | channels kept |", "|---|---|---|---|---|"]
    for r in results("trajectory_*.json"):
        for name, points in r["curves"].items():
            lines += [
                f"| {name.removeprefix('beta ')} | {p['passes']} ({p['steps']}) | {percent(p['own'])} "
                f"| {percent(p['false_accepts'])} | {percent(p['kept'])} |"
                for p in points
            ]
    return lines


def speed() -> list[str]:
    lines = []
    for r in results("speed_cpu.json"):
        lines += [
            "| ratio | value |",
            "|---|---|",
            f"| loop / ours, 20 passes (activations kept after the first) | {r['loop_over_ours_20_passes']:.2f} |",
            f"| loop / ours, a pass that computes the untouched network too | {r['loop_over_ours_first_pass']:.2f} |",
            f"| ours / floor, a pass that computes the untouched network too | {r['ours_first_over_floor']:.2f} |",
            f"| ours / floor, a pass with kept activations (it has one forward less to do) "
            f"| {r['ours_kept_over_floor']:.2f} |",
            f"| ours / floor, 20 passes | {_over_20_passes(r):.2f} |",
            "",
            "| variant | median seconds |",
            "|---|---|",
            *(f"| {name} | {seconds:.3f} |" for name, seconds in sorted(r["median_seconds"].items())),
        ]
    return lines


def _over_20_passes(result: dict[str, Any]) -> float:
    """A search of 20 passes against 20 times the floor, median over rounds."""
    seconds, default = result["raw"]["seconds"], result["what_disentangle_uses"]
    floor = seconds[f"floor, {default}"]
    return float(np.median([a / (20 * b) for a, b in zip(seconds["ours 20 passes"], floor, strict=True)]))


def memory() -> list[str]:
    lines = ["| rows | peak, MB |", "|---|---|"]
    for r in results("memory_rows.json"):
        lines += [f"| {rows} | {r[f'peak_megabytes_{rows}_rows']:.0f} |" for rows in (10, 100)]
        lines += [
            "",
            f"The score tables grow by {r['score_tables_growth_megabytes']:.2f} MB; two runs with ten rows differ by "
            f"{r['spread_megabytes_within_10_rows']:.0f} MB.",
        ]
    return lines


def pictures() -> None:
    for r in results("subarchitectures_*.json"):
        stem = r["file"].removeprefix("subarchitectures_").removesuffix(".json")
        if stem == "resnet56_released_beta0.1_500":
            save_figure(plot_specificity(table_of(r["raw"]["specificity"])), DOCS / "images" / "resnet56_specificity")
            save_figure(plot_accuracy(table_of(r["raw"]["accuracy"])), DOCS / "images" / "resnet56_accuracy")
        if stem == "resnet20_released_elbow_500":
            save_figure(plot_elbow(r["raw"]["elbow"]), DOCS / "images" / "resnet20_elbow")
    for r in results("trajectory_resnet20.json"):
        save_figure(_draw_trajectory(r["curves"]), DOCS / "images" / "resnet20_trajectory")


def _draw_trajectory(curves: dict[str, Any]) -> Any:
    figure, axes = new_figure(
        6.4,
        4.0,
        "ResNet-20: from the random start to the objective's optimum",
        "How to read: share of images after each pass; solid: own class recognised, dashed: other classes' images "
        "called by this class. With a small beta the search ends at the whole network.",
    )
    for (name, points), colour in zip(curves.items(), (SUB_ARCHITECTURE, RANDOM), strict=False):
        passes = [p["passes"] for p in points]
        axes.plot(passes, [p["own"] for p in points], color=colour, marker="o", label=f"{name}: own class")
        axes.plot(passes, [p["false_accepts"] for p in points], "--", color=colour, label=f"{name}: false accepts")
    axes.set_xticks(np.arange(0, 21, 5))
    axes.set_xlabel("passes over 500 images a class", fontsize=9)
    axes.set_ylim(-0.02, 1.03)
    axes.legend(frameon=False, fontsize=8, loc="center right")
    return figure


def filled(text: str, sections: dict[str, list[str]]) -> str:
    """The page's text with lines between its marks of each section."""
    for name, lines in sections.items():
        begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
        before, after = text.partition(begin)[0], text.partition(end)[2]
        text = before + begin + "\n\n" + "\n".join(lines) + "\n\n" + end + after
    return text


def pages() -> dict[str, dict[str, list[str]]]:
    """Page: section: its lines, as the results have them."""
    twins = results("connections.json")
    return {
        "measured.md": {
            "sub-architectures": sub_architectures(),
            "studies": study_pages.section(RESULTS),
            "sizes": size_pages.section(results("sizes_*.json")),
            "trajectory": trajectory(),
            "speed": speed(),
            "precision": precision_pages.section(results("precision_*.json")),
            "memory": memory(),
            "thousand rows": imagenet_pages.rows(results("thousand_rows.json"), results("thousand_rows_memory.json")),
            "scaling": imagenet_pages.scaling(results("ray_scaling.json")),
            "loading": imagenet_pages.loading(results("loading.json")),
            "curve": decoupling_tables.curve(results("decoupled_curve_resnet20.json")),
            "sparse": decoupling_tables.sparse(results("sparse-*.json")),
            "route": decoupling_tables.route(results("route.json")),
        },
        "decoupling.md": {"loss weights": decoupling_tables.loss_weights(results("loss_weights.json"))},
        "extract.md": {"extraction": extraction_pages.section(results("extraction-*.json"))},
        "planted.md": {
            "methods": planted_pages.section(results("planted_10_classes*.json")),
            "planting": planted_pages.planting(results("planting.json")),
        },
        "connections.md": {
            name: getattr(connection_tables, name)(twins) for name in ("twins", "searches", "statements") if twins
        },
    }


def main() -> None:
    study_pictures.draw(RESULTS, study_pictures.IMAGES)
    size_pages.draw(results("sizes_*.json"), DOCS / "images")
    for page, sections in pages().items():
        (DOCS / page).write_text(filled((DOCS / page).read_text(), sections))
    pictures()


if __name__ == "__main__":
    main()
