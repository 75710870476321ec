"""The tables on connections that `benchmarks.pages` writes into the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from benchmarks.connection_figure import OBJECTIVES, named
from benchmarks.twins import KINDS


def twins(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is equal in the twins, and how well each training seed's classifies."""
    lines = [
        "| twin | parameters | multiply-accumulates | sites | channels of the sites | top-1, %, by training seed |",
        "|---|---|---|---|---|---|",
    ]
    for result in found:
        for kind, size in result["sizes"].items():
            accuracies = ", ".join(f"{100 * value:.1f}" for value in result["top1"][kind])
            lines.append(
                f"| {kind} | {size['parameters']:,} | {size['multiply_accumulates'] / 1e6:.1f} million "
                f"| {size['sites']} | {' '.join(map(str, size['channels']))} | {accuracies} |"
            )
    return lines


def searches(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the sub-architectures of each kind are like: means over training seeds and searches."""
    lines = [
        "| twin, objective | channels kept, % | own class, % | false accepts, % | random mask, balanced, % "
        "| similarity of classes | of a class to itself | score (thousandths), mu of similarities "
        "| half kept: own class, score | best site for the hit rate |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in found:
        for objective in OBJECTIVES:
            for kind in KINDS:
                networks = [one for one in result["raw"]["networks"] if one["kind"] == kind]
                lines.append(_searches_line(kind, objective, networks, result["beta"][kind]))
    return lines


def _searches_line(kind: str, objective: str, networks: list[Mapping[str, Any]], beta: float) -> str:
    runs = [search for one in networks for search in one[objective]]

    def mean(part: str, name: str) -> float:
        return float(np.mean([one[part][name] for one in runs]))

    rates = np.mean([np.mean(one["hit_rate"], 0) for one in runs], 0)
    best = int(rates.argmax())
    own = [one[f"{objective}_stability"]["self_similarity"] for one in networks if f"{objective}_stability" in one]
    itself = f"{np.mean(own):.2f}" if own else "-"
    name = objective if objective == "selective" else f"{objective}, beta {beta:g}"
    return (
        f"| {kind}, {name} | {100 * mean('as_found', 'usage'):.0f} | {100 * mean('specificity', 'own'):.0f} "
        f"| {100 * mean('specificity', 'false_accepts'):.0f} | {100 * mean('specificity', 'random_balanced'):.0f} "
        f"| {mean('as_found', 'similarity'):.2f} | {itself} "
        f"| {1000 * mean('as_found', 'score'):.2f}, {1000 * mean('as_found', 'score_similarities'):.2f} "
        f"| {100 * mean('half', 'accuracy'):.0f}, {1000 * mean('half', 'score'):.2f} "
        f"| {named(runs[0]['sites'][best])} ({best + 1} of {len(rates)}): {rates[best]:.2f} |"
    )


def statements(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the papers say, what was tested, and what each objective's sub-architectures say to it."""
    lines = [
        "| the papers say | tested: above 0 if it is so | objective | by training seed | mean (95 %) | found |",
        "|---|---|---|---|---|---|",
    ]
    for result in found:
        for one in sorted(result["findings"], key=_place(result["findings"])):
            values = " ".join("-" if value is None else f"{value:+.3f}" for value in one["by_seed"])
            interval = "" if not one["interval"] else " ({:+.2f} to {:+.2f})".format(*one["interval"])
            mean = "-" if one["mean"] is None else f"{one['mean']:+.3f}"
            lines.append(
                f"| {one['said']} ({one['source']}) | {one['tested']} | {one['objective']} | {values} "
                f"| {mean}{interval} | {one['found']} |"
            )
    return lines


def _place(found: list[Mapping[str, Any]]) -> Any:
    """In the order of the statements, the objectives of one beside each other."""
    order = list(dict.fromkeys((one["said"], one["tested"]) for one in found))
    return lambda one: order.index((one["said"], one["tested"]))
