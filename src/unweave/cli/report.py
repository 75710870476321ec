"""`unweave report`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from unweave.cli.options import DATA_HELP, Device, DryRun, Groups, Hierarchy, Json, Strict, place_typed
from unweave.cli.output import print_estimate, print_json, print_line, say_beforehand


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", parser=place_typed, help="A finished run folder of unweave disentangle.")
    ],
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            parser=place_typed,
            help="Run folder of the same search with another seed; may be repeated.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help=f"Images to measure on ({DATA_HELP}). Default: the run's --validation.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=place_typed, help="File to write. Default: report.html in RUN."),
    ] = None,
    mosaics: Annotated[int, typer.Option(help="Mosaics for the hit rate; 0: leave it out.", min=0)] = 200,
    others: Annotated[
        int | None,
        typer.Option(
            help="Images of other classes each row is asked about. Default: all, or two million in all.", min=1
        ),
    ] = None,
    groups: Groups = None,
    hierarchy: Hierarchy = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of mosaics and random masks. Default: the run's.", min=0)
    ] = None,
    strict: Strict = False,
    device: Device = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write a report on a run: one HTML file that opens offline, and says first whether what was found is true.

    Example: unweave report run --against run_seed1 --against run_seed2
    """
    from unweave.errors import DataError
    from unweave.paths import Paths
    from unweave.pipeline.decoupled import refuse_training
    from unweave.pipeline.groups import grouping_of
    from unweave.pipeline.inputs import recorded_inputs
    from unweave.pipeline.measures import LEAST_ROWS
    from unweave.pipeline.report import report as write_report
    from unweave.pipeline.report_cost import report_cost
    from unweave.runs.folder import RunFolder

    folder = RunFolder(run)
    file = out or folder.root / "report.html"
    refuse_training(run, *(against or ()))
    inputs, recorded_seed = recorded_inputs(folder)
    paths = Paths.load(folder.finished_paths())
    runs = [Paths.load(RunFolder(one).finished_paths()) for one in against or []]
    clustered = len(paths) >= LEAST_ROWS["clusters"]
    given, apart = grouping_of(groups, hierarchy, paths, inputs.classes_file, clustered=clustered)
    spec = data or inputs.validation
    if spec is None:
        raise DataError("a report needs images to measure on: give --data, or --validation when searching")
    if not dry_run:
        RunFolder(file.parent).check_writable()
    network = inputs.network()
    paths.check(network)
    images = replace(inputs, strict=strict).images(spec, network, train=False)
    cost = report_cost(paths, network, images, mosaics=mosaics, others=others)
    if dry_run:
        print_estimate(cost, json=json)
        return
    say_beforehand(f"measuring {cost}, and drawing", cost.seconds)
    written = write_report(
        paths,
        network,
        images,
        file=file,
        against=runs,
        mosaics=mosaics,
        others=others,
        groups=given,
        distances=apart,
        seed=recorded_seed if seed is None else seed,
        data_names={"search": inputs.train or "", "measures": spec},
        device=device,
    )
    size = written.stat().st_size
    print_json({"file": str(written), "bytes": size}) if json else print_line(f"{written}, {size / 1e6:.1f} MB")
