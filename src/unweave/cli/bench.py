"""`unweave bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unweave.cli.options import Json
from unweave.cli.output import percent, print_json, print_line, print_table

if TYPE_CHECKING:
    from unweave.tables import Table


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
    accepted: Annotated[
        int, typer.Option(help="Networks of each kind that are fair to judge by; seeds are tried until then.")
    ] = 5,
    first_seed: Annotated[int, typer.Option(help="Of the generator: the first seed that is tried.", min=0)] = 0,
    method: Annotated[
        list[str] | None, typer.Option(help="A method by its name in the table; may be given again. Default: all.")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps every result as soon as it is known; the same command goes on there."),
    ] = None,
    json: Json = False,
) -> None:
    """Let every method search networks whose right answer is known, and say how much of it each finds.

    No download: networks and images are made on the spot. A line is printed for every network and method as soon as it
    is known, the means over networks at the end.

    Example: unweave bench planted --kind plain --accepted 1 --work bench-work
    """
    from unweave.errors import SettingError
    from unweave.pipeline.planted_bench import planted_bench
    from unweave.planted.architecture import KINDS
    from unweave.runs.folder import RunFolder
    from unweave.views.planted_plots import plot_planted
    from unweave.views.style import save_figure

    if accepted < 1:
        raise SettingError(f"--accepted must be at least 1, found {accepted}")
    if unknown := [one for one in kind or () if one not in KINDS]:
        raise SettingError(f"no kind {unknown[0]!r} of planted network; there are {', '.join(KINDS)}")
    kinds = [one for one in KINDS if not kind or one in kind]
    RunFolder(out).check_writable()
    found = planted_bench(
        kinds,
        classes,
        accepted,
        method,
        first_seed=first_seed,
        work=work,
        say=None if json else print_line,
        show_progress=None if json else False,  # lines and a bar would overwrite each other
    )
    out.mkdir(parents=True, exist_ok=True)
    files = [*found.table.save(out / "planted"), *found.runs.save(out / "planted_runs")]
    files += found.refused.save(out / "planted_refused")
    files += save_figure(plot_planted(found.runs), out / "planted")
    if json:
        networks = [dict(network) for network in found.networks]
        tables = {"table": found.table.as_dict(), "refused": found.refused.as_dict()}
        print_json({**tables, "networks": networks, "files": [str(file) for file in files]})
        return
    columns = ("kind", "method", "auroc", "f1", "precision", "recall", "kept", "seconds")
    table = found.table
    rows = [
        (row[0], row[1], f"{row[2]:.3f}", f"{row[3]:.3f}", *map(percent, row[4:7]), f"{row[7]:.1f}")
        for row in zip(*(table[name] for name in columns), strict=True)
    ]
    print_line()
    print_table(table.title, list(columns), rows)
    if len(found.refused):
        print_line(f"Left out, see {out / 'planted_refused.csv'}: {_named(found.refused)}")
    print_line(f"Written: {', '.join(map(str, files))}")


def _named(refused: Table) -> str:
    """`plain seeds 2, 4; residual seed 1`."""
    seeds: dict[str, list[str]] = {}
    for kind, seed in zip(refused["kind"], refused["seed"], strict=True):
        seeds.setdefault(kind, []).append(str(seed))
    return "; ".join(
        f"{kind} {'seed' if len(found) == 1 else 'seeds'} {', '.join(found)}" for kind, found in seeds.items()
    )
