"""Table and picture of `benchmarks.sizes` for `docs/measured.md`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unweave.views.style import RANDOM, SUB_ARCHITECTURE, new_figure, save_figure


def section(found: Sequence[dict[str, Any]]) -> list[str]:
    """One table a result, and a picture if it has a curve."""
    lines: list[str] = []
    for r in found:
        given, whole = r["settings"], r["whole_network"]
        seeds = ", ".join(map(str, r["sizes"][-1]["seeds"]))
        lines += [
            f"{r['network']}, `selective` with `keep=`, {given['search_images_per_class']} images a class, "
            f"{given['passes']} passes, augmentation {given['augment']}, {given.get('precision', 'float32')}, "
            f"{given['choices']} choices a class, seeds {seeds}; measured on {r['measured_on']}. In percent; in "
            "brackets the seeds; points against the whole network with 95 % intervals over images (paired), a seed "
            "each.",
            *(["", r["remark"]] if "remark" in r else []),
            "",
            "| channels | mean of sites | own class | false accepts | balanced | worst class | points against the "
            "whole network | random masks, balanced |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for size in r["sizes"]:
            against = ", ".join(
                f"{100 * c['difference']:+.1f} ({100 * c['low']:+.1f} to {100 * c['high']:+.1f})"
                for c in size["against_whole_network"]["each_seed"]
            )
            cells = [_spread(size[name]) for name in ("mean_of_sites", "own", "false_accepts", "balanced", "worst")]
            random = ", ".join(f"{100 * one:.1f}" for one in size.get("random", []))
            lines.append(f"| {100 * size['channels']:.0f} | " + " | ".join(cells) + f" | {against} | {random} |")
        own, false, balanced, worst = (100 * whole[k] for k in ("own", "false_accepts", "balanced", "worst"))
        lines.append(f"| 100 | 100 | {own:.1f} | {false:.1f} | {balanced:.1f} | {worst:.1f} | | |")
        times = [run["processor_seconds"] / 60 for run in r["raw"] if run["processor_seconds"] is not None]
        took = f"A search of all classes: {np.mean(times):.0f} minutes of one core. " if times else ""
        stem = Path(r["file"]).stem
        lines += [
            "",
            f"{took}([raw](../benchmarks/results/{r['file']}))",
            "",
        ]
        if len(r["sizes"]) > 1:
            lines += [f"![What smaller sub-architectures cost](images/{stem}.png)", ""]
    return lines[:-1] if lines else ["Not measured yet."]


def _spread(value: dict[str, Any]) -> str:
    each = ", ".join(f"{100 * v:.1f}" for v in value["values"])
    return f"{100 * value['mean']:.1f} ({each})"


def draw(found: Sequence[dict[str, Any]], images: Path) -> None:
    """One picture a result that has a curve."""
    for r in (one for one in found if len(one["sizes"]) > 1):
        stem = images / Path(r["file"]).stem
        save_figure(_figure(r), stem)
        stem.with_suffix(".svg").unlink()


def _figure(r: dict[str, Any]) -> Figure:
    figure, axes = new_figure(
        6.4,
        4.0,
        f"{r['network']}: what smaller sub-architectures cost",
        "How to read: balanced one-against-rest accuracy (mean of classes) by the share of channels kept, a thin line "
        "a seed; dashed: the whole network, dotted: one point below it. Cross: random masks.",
    )
    shares = [100 * size["channels"] for size in r["sizes"]]
    for seed in range(min(len(size["seeds"]) for size in r["sizes"])):
        values = [100 * size["balanced"]["values"][seed] for size in r["sizes"]]
        axes.plot(shares, values, color=SUB_ARCHITECTURE, linewidth=0.8, alpha=0.6)
    means = [100 * size["balanced"]["mean"] for size in r["sizes"]]
    axes.plot(shares, means, color=SUB_ARCHITECTURE, linewidth=2, marker="o", label="sub-architectures")
    whole = 100 * r["whole_network"]["balanced"]
    axes.axhline(whole, color="#444444", linestyle="--", linewidth=1)
    axes.axhline(whole - 1, color="#444444", linestyle=":", linewidth=1)
    for share, size in zip(shares, r["sizes"], strict=True):
        drawn = size.get("random", [])
        axes.plot([share] * len(drawn), [100 * one for one in drawn], "x", color=RANDOM)
    axes.invert_xaxis()
    axes.set_xlabel("channels kept, %", fontsize=9)
    axes.set_ylabel("balanced accuracy, %", fontsize=9)
    return figure
