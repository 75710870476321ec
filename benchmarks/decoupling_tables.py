"""The tables on decoupling and routing that `benchmarks.pages` writes into the documentation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

NAMES = {"l1": "L1 pruning", "slimming": "network slimming"}


def loss_weights(found: Iterable[dict[str, Any]]) -> list[str]:
    """Means over the seeds of each change."""
    lines = [
        "| changed | accuracy | filters selected | cost | spread of cost | different paths | dynamic filters "
        "| ten nearest paths of the class |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in found:
        rows: dict[str, list[dict[str, Any]]] = {}
        for one in result["trainings"]:
            said = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in one["changed"].items())
            rows.setdefault(said or "nothing", []).append(one)
        for said, trainings in rows.items():
            mean = {
                name: float(np.mean([one[name] for one in trainings])) for name in trainings[0] if name != "changed"
            }
            lines.append(
                f"| {said} | {100 * mean['accuracy']:.1f} % | {100 * mean['gates_open']:.1f} % | {mean['cost']:.3f} "
                f"| {mean['cost_spread']:.3f} | {mean['different_paths']:.0f} | {100 * mean['dynamic_share']:.0f} % "
                f"| {100 * mean['agreement_10']:.0f} % |"
            )
    return lines


def curve(found: Iterable[dict[str, Any]]) -> list[str]:
    """Decoupled networks and those pruned, on the test images."""
    lines = [
        "| network | multiply-accumulates, mean (spread) | of the original's | filters selected | top-1, test images "
        "| points against the original fine-tuned alike (95 %) | top-1, held-out images |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in found:
        whole = result["original_multiply_accumulates"]
        for which, accuracy in result["original_top1_percent"].items():
            name = f"{result['network']}, {which.replace('_', '-')}"
            lines.append(
                f"| {name} | {whole / 1e6:.1f}M | 1.00 | | {accuracy['test']:.1f} | | {accuracy['held_out']:.1f} |"
            )
        for keep, one in sorted(result["decoupled"].items()):
            cost, points = one["multiply_accumulates"]["test"], one["points_above_fine_tuned_original"]["test"]
            lines.append(
                f"| decoupled, keep {keep} | {cost['mean'] / 1e6:.1f}M ({cost['spread'] / 1e6:.1f}M) "
                f"| {cost['mean'] / whole:.2f} | {100 * one['gates_open']['test']:.0f} % "
                f"| {one['top1_percent']['test']:.1f} | {_interval(points)} | {one['top1_percent']['held_out']:.1f} |"
            )
        for one in result["baselines"]:
            points = one["points_above_fine_tuned_original"]["test"]
            accuracy = one["top1_percent"]["pruned"]
            lines.append(
                f"| {NAMES[one['method']]} | {one['multiply_accumulates'] / 1e6:.1f}M "
                f"| {one['multiply_accumulates'] / whole:.2f} | | {accuracy['test']:.1f} | {_interval(points)} "
                f"| {accuracy['held_out']:.1f} |"
            )
    return lines


def _interval(points: dict[str, float]) -> str:
    return f"{points['points']:+.1f} ({points['low']:+.1f} to {points['high']:+.1f})"


def sparse(found: Iterable[dict[str, Any]]) -> list[str]:
    """Real time against multiply-accumulates: in all, then layer by layer."""
    lines = []
    for result in found:
        lines += [
            f"**{100 * result['filters_kept']:.0f} % of the filters, {result['different_paths']} different paths**",
            "",
        ]
        lines += ["| batch | speed-up | fewer multiply-accumulates | share of it | goes |", "|---|---|---|---|---|"]
        for name, one in result.items():
            if name.startswith("batch "):
                lines.append(
                    f"| {name.removeprefix('batch ')} | {one['time_ratio']:.2f}x | {result['arithmetic_ratio']:.2f}x "
                    f"| {one['time_ratio_over_arithmetic_ratio']:.2f} | {one['batches_go']} |"
                )
        lines += [
            "",
            "| layer | original, ms | sparse, ms | speed-up | fewer multiply-accumulates | share of it | computed |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, one in result["per_layer"].items():
            lines.append(
                f"| {name} | {one['original_ms']:.2f} | {one['sparse_ms']:.2f} | {one['time_ratio']:.2f}x "
                f"| {one['arithmetic_ratio']:.2f}x | {one['time_ratio_over_arithmetic_ratio']:.2f} | {one['plan']} |"
            )
        rest = result["other_operations"]
        lines += [f"| all else | {rest['original_ms']:.2f} | {rest['sparse_ms']:.2f} | | | | |", ""]
    return lines


def route(found: Iterable[dict[str, Any]]) -> list[str]:
    """One batch against one by one: time, and how far the gates are from each other."""
    lines = []
    for result in found:
        together = result["seconds_together"]
        lines += ["| | seconds for 100 images | times slower (lowest, highest round) |", "|---|---|---|"]
        lines.append(f"| one batch | {together:.1f} | 1 |")
        for name, said in (("alone", "one by one, the same code"), ("plain", "one by one, as the method is told")):
            one = result[name]
            lines.append(
                f"| {said} | {one['seconds_extrapolated']:.1f} | {one['times_slower']:.2f} "
                f"({one['times_slower_lowest']:.2f}, {one['times_slower_highest']:.2f}) |"
            )
        lines += [
            "",
            "| precision | inputs | same iterate | masks equal | largest difference of a gate |",
            "|---|---|---|---|---|",
        ]
        for name in (known for known in ("float32", "float64") if known in result):
            one = result[name]
            lines.append(
                f"| {name} | {one['inputs_compared']} | {one['inputs_with_the_same_iterate']} "
                f"| {100 * one['masks_equal']:.2f} % | {one['largest_gate_difference']:.2g} |"
            )
    return lines
