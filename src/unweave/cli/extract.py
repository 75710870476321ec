"""`unweave extract`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.options import DATA_HELP, Device, Json, Strict, place_typed
from unweave.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from unweave.surgery.extracted import ExtractedNetwork
    from unweave.tables import Table


def extract(
    run: Annotated[Path, typer.Argument(metavar="RUN", parser=place_typed, help="A run folder with paths of classes.")],
    out: Annotated[Path, typer.Option(help="File to write: .safetensors (uw.load_extracted reads it) or .onnx.")],
    row: Annotated[
        list[str] | None, typer.Option(help="The row to extract; several are united. Default: the only one.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Class scores to keep, by comma: names of rows, or indices. Default: all."),
    ] = None,
    round_to: Annotated[
        int | None, typer.Option(help="Round widths up to multiples of this, to the layer's own at most.")
    ] = None,
    data: Annotated[str | None, typer.Option(help=f"Images to check on ({DATA_HELP}). Default: the run's own.")] = None,
    times: Annotated[bool, typer.Option(help="Measure milliseconds at batch 1 and 32.")] = True,
    strict: Strict = False,
    device: Device = None,
    json: Json = False,
) -> None:
    """Make a really smaller network of a class's sub-architecture, or of several classes' together.

    It is compared with the restricted network, and refused if it differs. Then both are measured.

    Example: unweave extract run --row cat --out cat.safetensors
    """
    from unweave.errors import CaptureError
    from unweave.network.devices import usable_device
    from unweave.paths import Paths
    from unweave.pipeline.decoupled import refuse_training
    from unweave.pipeline.extraction import classes_of, examples_of, row_of
    from unweave.pipeline.inputs import recorded_inputs
    from unweave.runs.folder import RunFolder
    from unweave.surgery.cost import extraction_cost
    from unweave.surgery.extract import check_row, extract
    from unweave.surgery.file import check_suffix

    check_suffix(out)
    refuse_training(run)
    folder = RunFolder(run)
    inputs, _ = recorded_inputs(folder)
    paths = Paths.load(folder.finished_paths())
    one = row_of(paths, row or ())
    check_row(one)
    chosen = classes_of(classes, paths)
    network = inputs.network()
    if device is not None:
        network.to(usable_device(device))
    images = examples_of(inputs, data, network, strict=strict)
    small = extract(network, one, images, classes=chosen, round_to=round_to)
    file = small.save(out)
    batches = (1, 32) if times else ()
    try:
        cost = extraction_cost(network, small, images, batches=batches, logits=inputs.logits_key)
    except CaptureError as error:
        raise CaptureError(f"written: {file}; but what it saves cannot be counted: {error}") from error
    _show(small, cost, file, json=json)


def _show(small: ExtractedNetwork, table: Table, file: Path, *, json: bool) -> None:
    size = file.stat().st_size
    if json:
        print_json({"extracted": small.description.as_dict(), "cost": table.as_dict(), "file": str(file), "size": size})
        return
    names = list(table.columns)
    rows = [[_cell(value) for value in cells] for cells in zip(*table.columns.values(), strict=True)]
    print_table(
        table.title, names, [*rows, ["before / after", *(f"{table.summary[f'{n}_ratio']:.2f}" for n in names[1:])]]
    )
    print_line(
        f"Equal to the restricted network: largest difference {small.description.difference:.1e} of the largest score"
    )
    for name, verdict in table.summary.items():
        if verdict == "not faster":
            print_line(f"Not faster at batch {name.rpartition('_')[2]}: less arithmetic, but not less time here")
    print_line(f"Written: {file} ({size:,} bytes)")


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
