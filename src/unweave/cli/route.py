"""`unweave route`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.options import (
    DATA_HELP,
    ClassesFile,
    Device,
    Json,
    Logits,
    Model,
    Preprocess,
    Size,
    Strict,
    Weights,
)
from unweave.cli.output import percent, print_json, print_line, print_table

if TYPE_CHECKING:
    from unweave.paths import Paths
    from unweave.runs.folder import RunFolder

_LONG = 60
"""Seconds from which on the cost is said beforehand, also where nobody looks on."""


def route(
    model: Model,
    data: Annotated[str, typer.Argument(metavar="DATA", help=f"Inputs to find the paths of: {DATA_HELP}.")],
    out: Annotated[Path, typer.Option(help="Run folder to write; the same command again goes on with it.")],
    train: Annotated[bool, typer.Option("--train", help="Training images, where DATA has two parts.")] = False,
    level: Annotated[
        str | None,
        typer.Option(help="block, filter, or value names by comma. Default: block if residual, else convolutions."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many inputs, evenly spread.")] = None,
    steps: Annotated[int, typer.Option(help="Steps of the descent.")] = 30,
    rate: Annotated[float, typer.Option(help="Step length.")] = 0.1,
    momentum: Annotated[float, typer.Option(help="Of the descent.")] = 0.9,
    weight: Annotated[float, typer.Option(help="Of the sum of gates, against the cross entropy.")] = 0.05,
    bound: Annotated[float, typer.Option(help="The largest gate.")] = 10.0,
    batch: Annotated[int | None, typer.Option(help="Inputs a batch; default: as many as run fastest.")] = None,
    weights: Weights = None,
    preprocess: Preprocess = None,
    size: Size = None,
    classes_file: ClassesFile = None,
    logits: Logits = None,
    device: Device = None,
    loaders: Annotated[int, typer.Option(help="Processes that read images ahead.")] = 0,
    strict: Strict = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what it would take; nothing is written.")
    ] = False,
    json: Json = False,
) -> None:
    """Find the critical data routing path of every input of a trained network.

    Every batch is saved as it is done; the same command again goes on from there.

    Example: unweave route networks.py:resnet56 cifar10:data --preprocess imagenet --limit 100 --out run
    """
    from unweave.pipeline.inputs import Inputs
    from unweave.runs.folder import RunFolder
    from unweave.search.routing import Routing
    from unweave.search.routing_gates import Descent

    descent = Descent(steps, rate, momentum, weight, bound)
    run = RunFolder(out)
    if not dry_run:
        run.check_writable()
    classes = None if classes_file is None else str(classes_file)
    inputs = Inputs(model, data, None, weights, preprocess, size, classes, logits, loaders=loaders, strict=strict)
    network = inputs.network()
    routing = Routing(
        network,
        inputs.images(data, network, train=train),
        level.split(",") if level and "/" in level else level,
        descent,
        batch=batch,
        limit=limit,
        device=device,
        logits=inputs.logits_key,
        folder=run,
        notes={"inputs": inputs.as_manifest()},
    )
    if routing.finished:
        sys.stderr.write(f"unweave: {out} holds these paths already, finished\n")
    else:
        cost = routing.cost()
        if dry_run:
            print_json(cost.as_dict()) if json else print_line(str(cost))
            return
        if sys.stderr.isatty() or cost.seconds > _LONG:
            sys.stderr.write(f"unweave: {'going on with' if routing.begun else 'routing'} {cost}\n")
    paths = routing.run()
    run.write_inputs({"inputs": inputs.as_settings(), "seed": 0})
    _show(paths, run, json=json)


def _show(paths: Paths, run: RunFolder, *, json: bool) -> None:
    shares, kept = paths.kept().mean(0), paths.manifest["masks_keep_prediction"]
    counts = [float(mask.sum(1).double().mean()) for mask in paths.masks.values()]
    if json:
        found = {
            "inputs": len(paths),
            "channels": dict(zip(paths.sites.names, counts, strict=True)),
            "usage": dict(zip(paths.sites.names, shares.tolist(), strict=True)),
            "masks_keep_prediction": kept,
            "all_gates_open": paths.manifest["all_gates_open"],
            "damaged": paths.manifest["damaged_images"],
            "files": [str(run.paths_file), str(run.inputs_file)],
        }
        print_json(found)
        return
    rows = zip(
        paths.sites.names,
        (site.channels for site in paths.sites),
        (f"{count:.1f}" for count in counts),
        map(percent, shares),
        strict=True,
    )
    print_table(f"Paths of {len(paths)} inputs", ["site", "channels", "kept (mean)", "share"], rows)
    print_line(
        f"The gates keep every input's prediction ({paths.manifest['all_gates_open']} with all gates at 1); masks "
        f"alone, without the gates' sizes, keep that of {percent(kept)}"
    )
    print_line(f"Written: {run.paths_file}. Next: unweave analyse {run.root}")
