"""`unweave paths`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.options import Data, Device, InputsBatch, Json, Limit, Strict, TrainPart, place_typed
from unweave.cli.output import percent, print_json, print_line, print_usage, usage_of

if TYPE_CHECKING:
    from unweave.paths import Paths
    from unweave.runs.folder import RunFolder


def paths(
    decoupled: Annotated[
        Path, typer.Argument(metavar="RUN", parser=place_typed, help="A folder that unweave decouple wrote.")
    ],
    data: Data,
    out: Annotated[Path, typer.Option(metavar="FOLDER", parser=place_typed, help="Run folder to write, or a URL.")],
    train: TrainPart = False,
    last: Annotated[
        bool, typer.Option("--last", help="The network after the last epoch, instead of the best one.")
    ] = False,
    limit: Limit = None,
    batch: InputsBatch = None,
    no_scores: Annotated[
        bool, typer.Option("--no-scores", help="Keep masks alone, which take a thirty-second of the space.")
    ] = False,
    device: Device = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Find the calculation path of every input of a decoupled network.

    Example: unweave paths decoupled cifar10:data --out paths
    """
    from unweave.pipeline.decoupled import open_decoupled, write_paths
    from unweave.runs.folder import RunFolder

    run = RunFolder(out)
    run.check_writable()
    opened = open_decoupled(decoupled, data, train=train, last=last, strict=strict, device=device)
    found = write_paths(opened, run, limit=limit, batch=batch, with_scores=not no_scores)
    _show(found, run, json=json)


def _show(found: Paths, run: RunFolder, *, json: bool) -> None:
    import torch

    rows = found.rows
    different = len(torch.unique(torch.cat(list(found.masks.values()), 1), dim=0))
    right = [prediction == label for prediction, label in zip(rows.predictions, rows.labels, strict=True) if label >= 0]
    accuracy = sum(right) / len(right) if right else float("nan")
    if json:
        print_json(
            {
                "inputs": len(found),
                **usage_of(found),
                "different_paths": different,
                "accuracy": accuracy if right else None,
                "inputs_without_filters": found.manifest["inputs_without_filters"],
                "damaged": found.manifest["damaged_images"],
                "files": [str(run.paths_file), str(run.inputs_file)],
            }
        )
        return
    print_usage(
        f"Paths of {len(found)} inputs, {different} different ones; {percent(accuracy)} classified right",
        "selected",
        found,
    )
    print_line(f"Written: {run.paths_file}. Next: unweave analyse {run.root}")
