"""`unweave paths`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.options import DATA_HELP, Device, Json, Strict
from unweave.cli.output import percent, print_json, print_line, print_table

if TYPE_CHECKING:
    from unweave.paths import Paths
    from unweave.runs.folder import RunFolder


def paths(
    decoupled: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that unweave decouple wrote.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help=f"Inputs to find the paths of: {DATA_HELP}.")],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    train: Annotated[bool, typer.Option("--train", help="Training images, where DATA has two parts.")] = False,
    last: Annotated[
        bool, typer.Option("--last", help="The network after the last epoch, instead of the best one.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="At most so many inputs, evenly spread.")] = None,
    batch: Annotated[int | None, typer.Option(help="Inputs a batch; default: as many as run fastest.")] = None,
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

    rows, shares = found.rows, found.kept().mean(0)
    counts = [float(mask.sum(1).float().mean()) for mask in found.masks.values()]
    different = len(torch.unique(torch.cat(list(found.masks.values()), 1), dim=0))
    right = [prediction == label for prediction, label in zip(rows.predictions, rows.labels, strict=True) if label >= 0]
    accuracy = sum(right) / len(right) if right else float("nan")
    if json:
        print_json(
            {
                "inputs": len(found),
                "channels": dict(zip(found.sites.names, counts, strict=True)),
                "usage": dict(zip(found.sites.names, shares.tolist(), strict=True)),
                "different_paths": different,
                "accuracy": accuracy if right else None,
                "inputs_without_filters": found.manifest["inputs_without_filters"],
                "damaged": found.manifest["damaged_images"],
                "files": [str(run.paths_file), str(run.inputs_file)],
            }
        )
        return
    table = zip(
        found.sites.names,
        (site.channels for site in found.sites),
        (f"{count:.1f}" for count in counts),
        map(percent, shares),
        strict=True,
    )
    print_table(
        f"Paths of {len(found)} inputs, {different} different ones; {percent(accuracy)} classified right",
        ["site", "channels", "selected (mean)", "share"],
        table,
    )
    print_line(f"Written: {run.paths_file}. Next: unweave analyse {run.root}")
