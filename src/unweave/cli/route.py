"""`unweave route`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.options import (
    ClassesFile,
    Data,
    Device,
    DryRun,
    InputsBatch,
    Json,
    Limit,
    Loaders,
    Logits,
    Model,
    Out,
    Preprocess,
    Size,
    Strict,
    TrainPart,
    Weights,
)
from unweave.cli.output import percent, print_estimate, print_json, print_line, print_usage, say_beforehand, usage_of

if TYPE_CHECKING:
    from unweave.paths import Paths
    from unweave.runs.folder import RunFolder


def route(
    model: Model,
    data: Data,
    out: Out,
    train: TrainPart = False,
    level: Annotated[
        str | None,
        typer.Option(help="block, filter, or value names by comma. Default: block if residual, else convolutions."),
    ] = None,
    limit: Limit = None,
    steps: Annotated[int, typer.Option(help="Steps of the descent.")] = 30,
    rate: Annotated[float, typer.Option(help="Step length.")] = 0.1,
    momentum: Annotated[float, typer.Option(help="Of the descent.")] = 0.9,
    weight: Annotated[float, typer.Option(help="Of the sum of gates, against the cross entropy.")] = 0.05,
    bound: Annotated[float, typer.Option(help="The largest gate.")] = 10.0,
    batch: InputsBatch = None,
    weights: Weights = None,
    preprocess: Preprocess = None,
    size: Size = None,
    classes_file: ClassesFile = None,
    logits: Logits = None,
    device: Device = None,
    loaders: Loaders = 0,
    strict: Strict = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Find the critical data routing path of every input of a trained network.

    Every batch is saved as it is done; the same command again goes on from there.

    Example: unweave route networks.py:resnet56 cifar10:data --preprocess imagenet --limit 100 --out run
    """
    from unweave.pipeline.inputs import Inputs
    from unweave.runs.folder import RunFolder
    from unweave.search.routing import Routing
    from unweave.search.routing_cost import RoutingCost
    from unweave.search.routing_gates import Descent

    descent = Descent(steps, rate, momentum, weight, bound)
    run = RunFolder(out)
    if not dry_run:
        run.check_writable()
    inputs = Inputs(model, data, None, weights, preprocess, size, classes_file, logits, loaders=loaders, strict=strict)
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
        if dry_run:
            print_estimate(RoutingCost.nothing(), json=json)
            return
    else:
        cost = routing.cost()
        if dry_run:
            print_estimate(cost, json=json)
            return
        say_beforehand(f"{'going on with' if routing.begun else 'routing'} {cost}", cost.seconds)
    paths = routing.run()
    run.write_inputs({"inputs": inputs.as_settings(), "seed": 0})
    _show(paths, run, json=json)


def _show(paths: Paths, run: RunFolder, *, json: bool) -> None:
    kept = paths.manifest["masks_keep_prediction"]
    if json:
        found = {
            "inputs": len(paths),
            **usage_of(paths),
            "masks_keep_prediction": kept,
            "all_gates_open": paths.manifest["all_gates_open"],
            "damaged": paths.manifest["damaged_images"],
            "files": [str(run.paths_file), str(run.inputs_file)],
        }
        print_json(found)
        return
    print_usage(f"Paths of {len(paths)} inputs", "kept", paths)
    print_line(
        f"The gates keep every input's prediction ({paths.manifest['all_gates_open']} with all gates at 1); masks "
        f"alone, without the gates' sizes, keep that of {percent(kept)}"
    )
    print_line(f"Written: {run.paths_file}. Next: unweave analyse {run.root}")
