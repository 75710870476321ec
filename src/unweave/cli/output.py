"""What commands print: one JSON object, or a table for a person. Everything else goes to standard error."""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

_NUMBER = re.compile(r"-?|-?[\d.,]+( %)?")


def print_json(value: Any) -> None:
    """One JSON object on standard output, in ASCII: any terminal and any reader can take it."""
    print_line(json.dumps(value))


def print_line(text: str = "") -> None:
    """A line on standard output; characters that its encoding lacks are spelled out."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


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
