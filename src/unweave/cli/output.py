"""What commands print: one JSON object, or a table for a person. Everything else goes to standard error."""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from unweave.estimates import Estimate
    from unweave.paths import Paths

_LONG = 60
"""Seconds from which on it is said beforehand how long something takes, also where nobody looks on."""
_NUMBER = re.compile(r"-?|-?[\d.,]+( %)?")


def print_json(value: Any) -> None:
    """One JSON object on standard output, in ASCII: any terminal and any reader can take it."""
    print_line(json.dumps(value))


def print_line(text: str = "") -> None:
    """A line on standard output; characters that its encoding lacks are spelled out."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def print_estimate(found: Estimate, *, json: bool) -> None:
    """What something would take: all that a dry run prints."""
    if json:
        print_json(found.as_dict())
    else:
        print_line(str(found))


def say_beforehand(words: str, seconds: float) -> None:
    """On standard error, where somebody looks on or it takes long."""
    if sys.stderr.isatty() or seconds > _LONG:
        sys.stderr.write(f"unweave: {words}\n")


def usage_of(paths: Paths) -> dict[str, dict[str, float]]:
    """Channels of each site in a path, and their share, both as means over inputs."""
    names = paths.sites.names
    counts = [float(mask.sum(1).double().mean()) for mask in paths.masks.values()]
    shares = paths.kept().mean(0).tolist()
    return {"channels": dict(zip(names, counts, strict=True)), "usage": dict(zip(names, shares, strict=True))}


def print_usage(title: str, verb: str, paths: Paths) -> None:
    """The same as a table."""
    found = usage_of(paths)
    rows = [
        (site.name, site.channels, f"{found['channels'][site.name]:.1f}", percent(found["usage"][site.name]))
        for site in paths.sites
    ]
    print_table(title, ["site", "channels", f"{verb} (mean)", "share"], rows)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A title and a table on standard output: numbers right, names left, headings as narrow as what is below them."""
    cells = [[str(cell) for cell in row] for row in rows]
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for position, column in enumerate(columns):
        below = [row[position] for row in cells]
        right = bool(below) and all(_NUMBER.fullmatch(cell) for cell in below)
        table.add_column(_heading(column, below), justify="right" if right else "left", overflow="fold", vertical="top")
    for row in cells:
        table.add_row(*row)
    # A pipe or file has no width; names are not to be cut there.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
    with console.capture() as drawn:
        console.print(table)
    print_line(title)
    for line in drawn.get().splitlines():
        print_line(line.rstrip())


def _heading(column: str, below: Sequence[str]) -> str:
    """A column's name on as many lines as make it no wider than its widest word or cell."""
    words = column.replace("_", " ").split()
    width = max(map(len, [*words, *below]), default=1)
    return "\n".join(textwrap.wrap(" ".join(words), width)) or column


def percent(share: float) -> str:
    """`0.981` -> `98.1 %`; `-` where there was nothing to measure."""
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"
