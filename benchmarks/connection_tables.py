"""The tables on connections that `benchmarks.pages` writes into the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import wrap
from typing import Any

import numpy as np

from benchmarks.connection_figure import OBJECTIVES, named
from benchmarks.twins import KINDS


def twins(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is equal in the twins, how well each training seed's classifies, and what they were trained with."""
    found = list(found)
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
    return [*lines, *(line for result in found for line in ("", *wrap(budget(result), 120)))]


def budget(result: Mapping[str, Any]) -> str:
    """What every twin was trained with, and how far that got."""
    spent = result["budget"]
    augmented = "without augmentation" if spent["augment"] == "none" else f"with augmentation `{spent['augment']}`"
    over = " and ".join(f"{100 * share:g}" for share in spent["decay_at"])
    reached = [value for accuracies in result["top1"].values() for value in accuracies]
    return (
        f"Every twin was trained for {spent['epochs']} epochs on the first {spent['images']:,} training images, "
        f"{augmented} (stochastic gradient descent with momentum {spent['momentum']:g}, batches of {spent['batch']}, "
        f"rate {spent['rate']:g}, times {spent['decay']:g} when {over} % of the epochs are over), which reached a "
        f"top-1 of {100 * min(reached):.0f} to {100 * max(reached):.0f} % over {len(result['seeds'])} training seeds."
    )


def searches(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the sub-architectures of each kind are like: means over training seeds and searches."""
    lines = [
        "| twin, objective | channels kept, % | own class, % | false accepts, % | random mask, balanced, % "
        "| similarity of classes, of a class to itself | sites where classes are told apart "
        "| score (thousandths), mu of similarities | half kept: own class, %, score, variance of similarities "
        "| best site for the hit rate |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in found:
        for objective in OBJECTIVES:
            for kind in KINDS:
                networks = [one for one in result["raw"]["networks"] if one["kind"] == kind]
                lines.append(_searches_line(kind, objective, networks, result["beta"][kind]))
    return [*lines, "", "![Usage, similarity, hit rate and score of the twins](images/connections.png)"]


def _searches_line(kind: str, objective: str, networks: list[Mapping[str, Any]], beta: float) -> str:
    runs = [search for one in networks for search in one[objective]]

    def mean(part: str, name: str) -> float:
        return float(np.mean([one[part][name] for one in runs]))

    rates = np.mean([one["hit_rate"] for one in runs], 0)
    best = int(rates.argmax())
    stable = [one[f"{objective}_stability"] for one in networks]
    itself = np.mean([one["self_similarity"] for one in stable])
    apart = ", ".join(f"{sum(one['told_apart'])} of {len(one['told_apart'])}" for one in stable)
    name = objective if objective == "selective" else f"{objective}, beta {beta:g}"
    return (
        f"| {kind}, {name} | {100 * mean('as_found', 'usage'):.0f} | {100 * mean('specificity', 'own'):.0f} "
        f"| {100 * mean('specificity', 'false_accepts'):.0f} | {100 * mean('specificity', 'random_balanced'):.0f} "
        f"| {mean('as_found', 'similarity'):.2f}, {itself:.2f} | {apart} "
        f"| {1000 * mean('as_found', 'score'):.2f}, {1000 * mean('as_found', 'score_similarities'):.2f} "
        f"| {100 * mean('half', 'accuracy'):.0f}, {1000 * mean('half', 'score'):.2f}, "
        f"{1000 * mean('variance_of_similarities', 'half'):.2f} "
        f"| {named(runs[0]['sites'][best])} ({best + 1} of {len(rates)}): {rates[best]:.2f} |"
    )


def statements(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the papers say, what was tested, and what each objective's sub-architectures say to it."""
    heads = "".join(f"| `{objective}`, by training seed | {objective}: found " for objective in OBJECTIVES)
    lines = [f"| the papers say | above 0 if it is so {heads}|", "|---" * (2 + 2 * len(OBJECTIVES)) + "|"]
    for result in found:
        rows: dict[tuple[str, str], list[str]] = {}
        for one in result["findings"]:
            values = ", ".join("-" if value is None else f"{value:+.3f}" for value in one["by_seed"])
            said = f"{one['said']} ({one['source']})"
            rows.setdefault((said, one["tested"]), []).append(f"{values} | {one['found']}")
        lines += [f"| {said} | {tested} | {' | '.join(cells)} |" for (said, tested), cells in rows.items()]
    return lines
