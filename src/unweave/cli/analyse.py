"""`unweave analyse`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unweave.cli.options import DATA_HELP, Device, DryRun, Groups, Hierarchy, Json, Strict, place_typed
from unweave.cli.output import print_json, print_line, print_table, say_beforehand

if TYPE_CHECKING:
    from torch import nn

    from unweave.data.labelled import LabelledImages
    from unweave.paths import Paths
    from unweave.pipeline.inputs import Inputs
    from unweave.pipeline.subject import Measured
    from unweave.tables import Table


_LEFT_TO_FILES = ("balanced", "balanced_lowest", "balanced_highest", "_images")
"""How columns end that are not printed of wide tables."""


def analyse(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", parser=place_typed, help="A run folder with paths, of classes or of inputs."),
    ],
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="accuracy, specificity, ablation, keep_curve, stability, usage, similarity, clusters, "
            "interpretability, compare_interpretability, hit_rate, feature_maps, exciting, misjudgements, "
            "filter_states or embedding; may be repeated. Default: all that apply."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help=f"Images to measure on ({DATA_HELP}). Default: the run's --validation.")
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            parser=place_typed,
            help="A run of the same classes with another seed, for stability; may be repeated.",
        ),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            parser=place_typed,
            help="A run of another network, for compare_interpretability; may be repeated.",
        ),
    ] = None,
    groups: Groups = None,
    hierarchy: Hierarchy = None,
    row: Annotated[
        list[str] | None,
        typer.Option(help="For exciting: a row by its name or class index; may be repeated.", metavar="NAME"),
    ] = None,
    site: Annotated[
        list[str] | None, typer.Option(help="For exciting: a site; may be repeated. Default: the last one.")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="For exciting: how many channels of a row at each site. Default: 5.")
    ] = None,
    mosaic: Annotated[
        list[int] | None,
        typer.Option(
            help="For feature_maps: a mosaic by its number; may be repeated. Default: the first two that can be read.",
            min=0,
            max=99_999,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of controls and mosaics. Default: the run's.")] = None,
    strict: Strict = False,
    device: Device = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Measure a run: tables as CSV and JSON, figures as PNG and SVG, all in the run folder.

    Example: unweave analyse run --measure accuracy
    """
    from unweave.paths import Paths
    from unweave.pipeline.applicable import applicable, with_enough_images
    from unweave.pipeline.decoupled import refuse_training
    from unweave.pipeline.exciting import excited_of
    from unweave.pipeline.groups import grouping_of
    from unweave.pipeline.inputs import recorded_inputs
    from unweave.pipeline.measures import (
        NEEDS_IMAGES,
        check_measures,
        check_options,
        check_places,
        check_rows,
        draw_elbow,
        run_measures,
    )
    from unweave.pipeline.measuring_cost import measuring_cost
    from unweave.pipeline.subject import Subject, subjects_of_runs
    from unweave.runs.folder import RunFolder

    folder = RunFolder(run)
    refuse_training(run, *(against or ()))
    if folder.begun:
        folder.finished_paths()  # says so if it is not finished
    inputs, recorded_seed = recorded_inputs(folder)
    paths = Paths.load(folder.finished_paths())
    spec = data or inputs.validation
    others = [Paths.load(RunFolder(other).finished_paths()) for other in against or ()]
    compared = list(beside or ())
    excited = excited_of(row, site, channels, paths)
    there: dict[str, Any] = {"against": len(others), "beside": len(compared), "excited": excited}
    names = measure or applicable(paths, images=spec is not None, **there)
    check_measures(names)
    options: dict[str, Any] = {
        **{"row": row, "site": site, "channels": channels, "mosaic": mosaic, "against": against},
        **{"groups": groups, "hierarchy": hierarchy, "beside": beside, "data": data, "device": device},
    }
    check_options(names, options)
    check_rows(names, paths, **there)
    given, apart = grouping_of(groups, hierarchy, paths, inputs.classes_file, clustered="clusters" in names)
    if not dry_run:
        check_places(folder)
    needed = any(name in NEEDS_IMAGES for name in names)
    network, images = _opened(replace(inputs, strict=strict), spec if needed else None, paths)
    subject = Subject(
        paths,
        network,
        images,
        recorded_seed if seed is None else seed,
        device=device,
        against=others,
        groups=given,
        distances=apart,
        name=folder.root.resolve().name,
        beside=subjects_of_runs(compared, folder.root, strict=strict, device=device),
        mosaics=tuple(dict.fromkeys(mosaic or ())),
        excited=excited,
    )
    if measure is None:
        names = with_enough_images(names, subject)
    cost = measuring_cost(names, subject)
    if dry_run:
        print_line(f"{', '.join(names)}; {cost}") if not json else print_json({"measures": names, **cost.as_dict()})
        return
    if cost.seconds:
        say_beforehand(f"measuring {cost}", cost.seconds)
    measured = run_measures(names, subject, folder)
    files = [str(file) for one in measured for file in one.files] + [str(f) for f in draw_elbow(paths, folder)]
    if json:
        tables = {name: table.as_dict() for one in measured for name, table in one.tables.items()}
        print_json({"tables": tables, "files": files})
        return
    _show(measured)
    if measure is None and spec is None and paths.rows.kind == "class":
        print_line("accuracy, specificity and others need images: unweave analyse RUN --data DATA")
    print_line(f"{len(files)} files written below {folder.root}")


def _opened(inputs: Inputs, spec: str | None, paths: Paths) -> tuple[nn.Module | None, LabelledImages | None]:
    """The network and the images of `spec`, where any are needed."""
    from unweave.pipeline.subject import remembering

    if spec is None:
        return None, None
    network = inputs.network()
    paths.check(network)
    return network, remembering(inputs.images(spec, network, train=False))


def _show(measured: list[Measured]) -> None:
    for one in measured:
        if one.printed:
            _print(next(iter(one.tables.values())))


def _print(table: Table, most: int = 25) -> None:
    """The table, its means as the last row; where it is wide, what follows from other columns is left to the files."""
    names = [name for name in table.columns if len(table.columns) < 8 or not name.endswith(_LEFT_TO_FILES)]
    rows = [[_cell(value) for value in row] for row in zip(*(table[name][:most] for name in names), strict=True)]
    means = [_cell(table.summary[name]) if name in table.summary else "" for name in names]
    print_table(table.title, names, [*rows, ["mean", *means[1:]]] if any(means) else rows)
    if len(table) > most:
        print_line(f"{len(table) - most} more rows are in the files; the mean is that of all.")
    print_line()


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return str(value)
