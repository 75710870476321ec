"""Table of `benchmarks.planted` for `docs/planted.md`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ATTRIBUTION = "threshold=0.02, limit_per_class=50"
_CALLS = {
    "default": "`uw.disentangle(network, data)`, nothing else given",
    "selective, random start": '`disentangle(start="random")`',
    **{
        f"{name}, attribution start": f'`disentangle(objective="{name}", beta="elbow", start="attribution")`'
        for name in ("released", "variational", "concept-path")
    },
    "attribute": f"`attribute({_ATTRIBUTION})`",
    "attribute, unsigned": f"`attribute(signed=False, {_ATTRIBUTION})`",
    "attribute, logit": f'`attribute(of="logit", {_ATTRIBUTION})`',
    "attribute, logit, unsigned": f'`attribute(of="logit", signed=False, {_ATTRIBUTION})`',
    "attribute, logit, unsigned, all images": f'`attribute(of="logit", signed=False, over="all", {_ATTRIBUTION})`',
    "attribute, one step": f"`attribute(steps=1, {_ATTRIBUTION})`",
    "mean activation": "mean activation, the upper half of each site",
}


def section(found: Sequence[dict[str, Any]]) -> list[str]:
    """AUROC and F1 of every method, kinds of networks beside each other; a table for each result."""
    if not found:
        return ["Not measured yet."]
    lines: list[str] = []
    for one in sorted(found, key=lambda one: min(one["raw"]["runs"]["columns"]["seed"])):
        runs = _rows(one["raw"]["runs"])
        seeds = sorted({run["seed"] for run in runs})
        lines += ["", f"Networks of the seeds {', '.join(map(str, seeds))}:", "", *_methods(_rows(one["table"]), runs)]
    return lines[1:]


def _rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    columns = table["columns"]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _methods(rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> list[str]:
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    counts = {kind: max(row["networks"] for row in rows if row["kind"] == kind) for kind in kinds}
    heads = (f"{kind} ({counts[kind]}): AUROC, lowest | F1, lowest | kept" for kind in kinds)
    lines = ["| method | " + " | ".join(heads) + " |", "|---|" + "---|---|---|" * len(kinds)]
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = [_CALLS.get(method, f'`disentangle(objective="{method}", beta="elbow")`')]
        for kind in kinds:
            mine = [row for row in rows if (row["kind"], row["method"]) == (kind, method)]
            each = [run for run in runs if (run["kind"], run["method"]) == (kind, method)]
            cells += _cells(mine[0], each) if mine else ["", "", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def planting(found: Sequence[dict[str, Any]]) -> list[str]:
    """Which seeds of `benchmarks.planting` were refused, and what making a network takes."""
    if not found:
        return ["Not measured yet."]
    made = found[0]["raw"]
    lines = ["| kind, classes | seeds | accepted | refused | seconds a network |", "|---|---|---|---|---|"]
    for kind, classes in dict.fromkeys((one["kind"], one["classes"]) for one in made):
        mine = [one for one in made if (one["kind"], one["classes"]) == (kind, classes)]
        refused = "; ".join(f"{one['seed']}: {one['refused']}" for one in mine if one["refused"]) or "none"
        seconds = sorted(round(one["seconds"]) for one in mine)
        spent = f"{seconds[0]} to {seconds[-1]}" if seconds[0] < seconds[-1] else str(seconds[0])
        accepted = sum(one["refused"] is None for one in mine)
        seeds = f"{mine[0]['seed']} to {mine[-1]['seed']}" if len(mine) > 1 else str(mine[0]["seed"])
        lines.append(f"| {kind}, {classes} | {seeds} | {accepted} | {refused} | {spent} |")
    return lines


def _cells(row: dict[str, Any], runs: list[dict[str, Any]]) -> list[str]:
    auroc, f1 = (min(run[name] for run in runs) for name in ("auroc", "f1"))
    return [f"{row['auroc']:.3f}, {auroc:.3f}", f"{row['f1']:.2f}, {f1:.2f}", f"{100 * row['kept']:.0f} %"]
