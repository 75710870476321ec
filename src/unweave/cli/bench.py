"""`unweave bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from unweave.cli.options import Json
from unweave.cli.output import percent, print_json, print_line, print_table


def bench(
    name: Annotated[
        Literal["planted"],
        typer.Argument(metavar="NAME", help="planted: networks whose class channels are known, made on the spot."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tables and the figure.")] = Path("unweave-bench"),
    kind: Annotated[
        list[str] | None,
        typer.Option(help="plain, residual or concatenating networks; may be given again. Default: all."),
    ] = None,
    classes: Annotated[int, typer.Option(help="Classes of every network, 4 to 100.")] = 10,
    seeds: Annotated[int, typer.Option(help="Networks of each kind.")] = 5,
    method: Annotated[
        list[str] | None, typer.Option(help="A method by its name in the table; may be given again. Default: all.")
    ] = None,
    json: Json = False,
) -> None:
    """Let every method search networks whose right answer is known, and say how much of it each finds.

    No download: networks and images are made on the spot.

    Example: unweave bench planted --kind plain --seeds 1
    """
    from unweave.errors import SettingError
    from unweave.pipeline.planted_bench import planted_bench
    from unweave.planted.architecture import KINDS
    from unweave.views.planted_plots import plot_planted
    from unweave.views.style import save_figure

    if seeds < 1:
        raise SettingError(f"seeds must be at least 1, found {seeds}")
    if unknown := [one for one in kind or () if one not in KINDS]:
        raise SettingError(f"no kind {unknown[0]!r} of planted network; there are {', '.join(KINDS)}")
    kinds = [one for one in KINDS if not kind or one in kind]
    out.mkdir(parents=True, exist_ok=True)
    found = planted_bench(kinds, classes, range(seeds), method)
    files = [*found.table.save(out / "planted"), *found.runs.save(out / "planted_runs")]
    files += save_figure(plot_planted(found.runs), out / "planted")
    if json:
        networks = [dict(network) for network in found.networks]
        print_json({"table": found.table.as_dict(), "networks": networks, "files": [str(file) for file in files]})
        return
    columns = ("kind", "method", "auroc", "f1", "precision", "recall", "kept", "seconds")
    table = found.table
    rows = [
        (row[0], row[1], f"{row[2]:.3f}", f"{row[3]:.3f}", *map(percent, row[4:7]), f"{row[7]:.1f}")
        for row in zip(*(table[name] for name in columns), strict=True)
    ]
    print_table(table.title, list(columns), rows)
    print_line(f"Written: {', '.join(map(str, files))}")
