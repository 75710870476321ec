"""Progress with time left, on standard error, silent when that is not a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Call it with the number of steps done since the last call; `note` is shown beside the bar."""

    def __call__(self, steps: int, note: str = "") -> None: ...


@contextmanager
def progress(title: str, total: int, show: bool | None = None) -> Iterator[Advance]:
    """A bar named `title` over `total` steps. `show=None`: only where standard error is a terminal."""
    if show is None:
        show = sys.stderr.isatty()
    if not show:

        def silent(steps: int, note: str = "") -> None:
            pass

        yield silent
        return

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(title, total=total, note="")

        def advance(steps: int, note: str = "") -> None:
            bars.update(task, advance=steps)
            if note:
                bars.update(task, note=note)

        yield advance
