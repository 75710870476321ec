"""Table of `benchmarks.planted` for `docs/planted.md`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ATTRIBUTION = "threshold=0.02, limit_per_class=50"
_CALLS = {
    "default": "`uw.disentangle(network, data)`, nothing else given",
    "selective, random start": '`disentangle(start="random")`',
    "attribute": f"`attribute({_ATTRIBUTION})`",
    "attribute, unsigned": f"`attribute(signed=False, {_ATTRIBUTION})`",
    "attribute, logit": f'`attribute(of="logit", {_ATTRIBUTION})`',
    "attribute, logit, unsigned": f'`attribute(of="logit", signed=False, {_ATTRIBUTION})`',
    "attribute, logit, unsigned, all images": f'`attribute(of="logit", signed=False, over="all", {_ATTRIBUTION})`',
    "attribute, one step": f"`attribute(steps=1, {_ATTRIBUTION})`",
    "mean activation": "mean activation, the upper half of each site",
}


def section(found: Sequence[dict[str, Any]]) -> list[str]:
    """AUROC and F1 of every method, kinds of networks beside each other."""
    if not found:
        return ["Not measured yet."]
    columns = found[0]["table"]["columns"]
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    counts = {kind: max(row["networks"] for row in rows if row["kind"] == kind) for kind in kinds}
    lines = [
        "| method | " + " | ".join(f"{kind} ({counts[kind]}): AUROC, lowest | F1 | kept" for kind in kinds) + " |",
        "|---|" + "---|---|---|" * len(kinds),
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = [_CALLS.get(method, f'`disentangle(objective="{method}", beta="elbow")`')]
        for kind in kinds:
            mine = [row for row in rows if (row["kind"], row["method"]) == (kind, method)]
            cells += _cells(mine[0]) if mine else ["", "", ""]
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


def _cells(row: dict[str, Any]) -> list[str]:
    return [f"{row['auroc']:.3f}, {row['lowest_auroc']:.3f}", f"{row['f1']:.2f}", f"{100 * row['kept']:.0f} %"]
