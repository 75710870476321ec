"""`unweave analyse`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.options import DATA_HELP, Device, Json
from unweave.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from unweave.tables import Table


def analyse(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that unweave disentangle wrote.")],
    measure: Annotated[
        list[str] | None,
        typer.Option(help="accuracy, specificity, usage or similarity; may be repeated. Default: all."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help=f"Images to measure on ({DATA_HELP}). Default: the run's --validation.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random controls. Default: the run's.")] = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Measure a run: tables as CSV and JSON, figures as PNG and SVG, all in the run folder.

    Example: unweave analyse run --measure accuracy
    """
    from unweave.paths import Paths
    from unweave.pipeline.inputs import Inputs
    from unweave.pipeline.measures import MEASURES, NEEDS_IMAGES, Subject, check_measures, draw_elbow, run_measures
    from unweave.runs.folder import RunFolder

    folder = RunFolder(run)
    settings = folder.read_inputs()
    paths = Paths.load(folder.finished_paths())
    inputs = Inputs.from_settings(settings["inputs"])
    spec = data or inputs.validation
    names = measure or [name for name in MEASURES if spec is not None or name not in NEEDS_IMAGES]
    check_measures(names)
    network = images = None
    if spec is not None and any(name in NEEDS_IMAGES for name in names):
        network = inputs.network()
        paths.check(network)
        images = inputs.images(spec, network, train=False)
    used_seed = int(settings["seed"]) if seed is None else seed
    subject = Subject(paths, network, images, used_seed, device=device)
    measured = run_measures(names, subject, folder)
    files = [str(file) for one in measured for file in one.files] + [str(f) for f in draw_elbow(paths, folder)]
    if json:
        tables = {name: table.as_dict() for one in measured for name, table in one.tables.items()}
        print_json({"tables": tables, "files": files})
        return
    for one in measured:
        _print(next(iter(one.tables.values())))
    if measure is None and spec is None:
        print_line("accuracy and specificity need images: unweave analyse RUN --data DATA")
    print_line(f"{len(files)} files written below {folder.root}")


def _print(table: Table, most: int = 25) -> None:
    frame = table.to_frame()
    rows = [[_cell(value) for value in row] for row in frame.head(most).itertuples(index=False)]
    print_table(table.title, list(frame.columns), rows)
    if len(frame) > most:
        print_line(f"... and {len(frame) - most} more rows, in the files")
    print_line("mean: " + ", ".join(f"{name} {_cell(value)}" for name, value in table.summary.items()))
    print_line()


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
