"""Table of `benchmarks.precision` for `docs/measured.md`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def section(found: Sequence[dict[str, Any]]) -> list[str]:
    """One table of all networks."""
    if not found:
        return ["Not measured yet."]
    lines = [
        "| network, images a class | method | search | channels kept | own class | false accepts | points against the "
        "whole network | decided as in float32 | similarity to float32 | time of a pass |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in found:
        for method, searches in r["methods"].items():
            ratios = [one["bfloat16"] / one["float32"] for one in r["processor_seconds_a_pass"][method]["rounds"]]
            for name, one in searches.items():
                points, alike = one["points"], one["agreement"]
                numbers = (one["kept"], one["own"], one["false_accepts"])
                cells = [
                    f"{r['network']}, {r['search_images_per_class']}",
                    method,
                    name,
                    *(f"{100 * number:.1f}" for number in numbers),
                    f"{100 * points['difference']:+.1f} ({100 * points['low']:+.1f} to {100 * points['high']:+.1f})",
                    "-" if name == "float32" else f"{100 * alike['same']:.1f}",
                    "-" if name == "float32" else f"{alike['jaccard']:.3f}",
                    ", ".join(f"{ratio:.2f}" for ratio in ratios) if name == "bfloat16" else "1",
                ]
                lines.append("| " + " | ".join(cells) + " |")
    files = ", ".join(f"[{r['network']}](../benchmarks/results/{r['file']})" for r in found)
    return [*lines, "", f"Raw: {files}."]
