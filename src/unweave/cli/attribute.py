"""`unweave attribute`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.options import (
    DATA_HELP,
    ClassesFile,
    Device,
    DryRun,
    Json,
    Loaders,
    Logits,
    Model,
    Out,
    Preprocess,
    Seed,
    Size,
    Strict,
    Weights,
    place_typed,
)
from unweave.cli.output import percent, print_estimate, print_json, print_line, print_table, say_beforehand

if TYPE_CHECKING:
    from unweave.paths import Paths
    from unweave.runs.folder import RunFolder


def attribute(
    model: Model,
    train: Annotated[str, typer.Argument(metavar="TRAIN", help=f"Images to attribute on: {DATA_HELP}.")],
    out: Out,
    validation: Annotated[str | None, typer.Option(help="Images to measure on later, in the same forms.")] = None,
    level: Annotated[
        str, typer.Option(help="block, filter, heads, neurons, iccv2021:..., or value names by comma.")
    ] = "block",
    steps: Annotated[int, typer.Option(help="Points between closed and open gates; 1: one-step Taylor.")] = 8,
    of: Annotated[
        str, typer.Option(help="class_probability (its logarithm), or logit: the class's own score.")
    ] = "class_probability",
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Absolute values: channels that speak against the class count too.")
    ] = False,
    over: Annotated[str, typer.Option(help="own: images of the class; all: images of every class.")] = "own",
    keep: Annotated[float | None, typer.Option(help="Share of every site's channels to keep. Default: 0.5.")] = None,
    keep_sizes_of: Annotated[
        Path | None,
        typer.Option(metavar="RUN", parser=place_typed, help="Keep as many channels as the paths of this run."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Instead: keep channels above this share of the highest score of a site.")
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Only these classes: names or indices by comma.")] = None,
    groups: Annotated[
        Path | None, typer.Option(help='Several classes as one row: a JSON file {"name": [class names or indices]}.')
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Tell rows from these classes (names or indices by comma) instead of from all others."),
    ] = None,
    limit_per_class: Annotated[int | None, typer.Option(help="At most so many images a class.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a batch; default: as many as run fastest.")] = None,
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 for mixed precision.")] = "float32",
    weights: Weights = None,
    preprocess: Preprocess = None,
    size: Size = None,
    classes_file: ClassesFile = None,
    logits: Logits = None,
    seed: Seed = 0,
    device: Device = None,
    loaders: Loaders = 0,
    strict: Strict = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Score every channel for every class by integrated gradients along the gates: a fast search.

    Every batch is saved as it is done; the same command again goes on from there.

    Example: unweave attribute networks.py:resnet20 cifar10:data --validation cifar10:data --preprocess imagenet
    --limit-per-class 100 --keep 0.6 --out run
    """
    from unweave.errors import SettingError
    from unweave.paths import Paths
    from unweave.pipeline.inputs import Inputs
    from unweave.pipeline.rows import class_indices, read_groups
    from unweave.runs.folder import RunFolder
    from unweave.search.attribution import Attribution
    from unweave.search.attribution_cost import AttributionCost
    from unweave.search.attribution_scores import Question

    if keep is not None and keep_sizes_of is not None:
        raise SettingError("give either --keep or --keep-sizes-of")
    question = Question(steps, of, not unsigned, over)  # type: ignore[arg-type]
    sizes = None if keep_sizes_of is None else Paths.load(RunFolder(keep_sizes_of).paths_file)
    chosen = keep if sizes is None else sizes
    run = RunFolder(out)
    if not dry_run:
        run.check_writable()
    inputs = Inputs(
        model, train, validation, weights, preprocess, size, classes_file, logits, loaders=loaders, strict=strict
    )
    network = inputs.network()
    images = inputs.images(train, network, train=True)
    attribution = Attribution(
        network,
        images,
        level.split(",") if "/" in level else level,
        question,
        keep=0.5 if chosen is None and threshold is None else chosen,
        threshold=threshold,
        classes=class_indices(classes, images) if classes else None,
        groups=read_groups(groups, images) if groups else None,
        against=class_indices(against, images) if against else None,
        limit_per_class=limit_per_class,
        seed=seed,
        batch=batch,
        precision=precision,
        device=device,
        logits=inputs.logits_key,
        folder=run,
        notes={"inputs": inputs.as_manifest()},
    )
    if attribution.finished:
        sys.stderr.write(f"unweave: {out} holds these paths already, finished\n")
        if dry_run:
            print_estimate(AttributionCost.nothing(), json=json)
            return
    else:
        cost = attribution.cost()
        if dry_run:
            print_estimate(cost, json=json)
            return
        say_beforehand(f"{'going on with' if attribution.begun else 'attributing'} {cost}", cost.seconds)
    paths = attribution.run()
    if not run.has_inputs:
        run.write_inputs({"inputs": inputs.as_settings(), "seed": seed})
    _show(paths, run, json=json)


def _show(paths: Paths, run: RunFolder, *, json: bool) -> None:
    kept = paths.kept().mean(0)
    if json:
        usage = dict(zip(paths.sites.names, kept.tolist(), strict=True))
        files = [str(file) for file in (run.paths_file, run.inputs_file)]
        print_json({"rows": list(paths.rows.names), "usage": usage, "files": files})
        return
    rows = zip(paths.sites.names, (site.channels for site in paths.sites), map(percent, kept), strict=True)
    print_table(f"{len(paths)} sub-architectures by attribution", ["site", "channels", "kept (mean)"], rows)
    print_line(f"Written: {run.paths_file}. Next: unweave analyse {run.root}")
