"""Table of `benchmarks.extraction` for `docs/extract.md`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_ORDER = ("vgg16_half", "vgg16_bn", "resnet50", "resnet20", "resnet56", "densenet40", "squeezenet", "mobilenet_v1")


def section(found: Sequence[dict[str, Any]]) -> list[str]:
    """A line for single rows (medians over them) and one for their union, a network."""
    by_name = {r["network"]: r for r in found}
    lines = [
        "| network, masks | rows | channels kept | largest difference | parameters, megabytes before / after "
        "| multiply-accumulates | milliseconds, one image: before, after | 32 images: before, after | time / "
        "arithmetic, 32 images | against the whole network written alike |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in (*(n for n in _ORDER if n in by_name), *(n for n in by_name if n not in _ORDER)):
        r = by_name[name]
        single = [row for row in r["rows"] if " | " not in row["row"]]
        union = [row for row in r["rows"] if row not in single]
        masks = r["paths"]
        lines.append(_line(f"{name}, {masks}", f"{len(single)} one by one", single))
        if union:
            lines.append(_line(f"{name}", "their union", union))
    return lines if by_name else ["Not measured yet."]


def _line(name: str, rows: str, records: Sequence[dict[str, Any]]) -> str:
    def middle(read: Any) -> float:
        return float(np.median([read(record) for record in records]))

    def ratio(key: str) -> float:
        return middle(lambda record: record["ratios"][key])

    def column(key: str, which: int) -> float:
        return middle(lambda record: record["columns"][key][which])

    cells = [
        name,
        rows,
        f"{100 * middle(lambda record: record['kept']):.0f} %",
        f"{max(record['difference'] for record in records):.0e}",
        f"{ratio('parameters_ratio'):.2f}x fewer; {column('bytes', 0) / 1e6:.1f} / {column('bytes', 1) / 1e6:.1f}",
        f"{ratio('multiply_accumulates_ratio'):.2f}x fewer",
        *(
            f"{column(f'milliseconds_{size}', 0):.1f}, {column(f'milliseconds_{size}', 1):.1f} "
            f"({ratio(f'milliseconds_{size}_ratio'):.2f}x)"
            for size in (1, 32)
        ),
        f"{ratio('time_by_arithmetic_32'):.2f}",
        f"{middle(lambda record: record['rewritten']['time_by_arithmetic_32']):.2f}"
        if all(record["rewritten"] for record in records)
        else "",
    ]
    return "| " + " | ".join(cells) + " |"
