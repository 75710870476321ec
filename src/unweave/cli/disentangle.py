"""`unweave disentangle`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unweave.cli.named_settings import (
    NamedSettings,
    check_fit,
    is_typed,
    said,
    weights_to_load,
    without_unused,
)
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
)
from unweave.cli.output import percent, print_estimate, print_json, print_line, print_table, say_beforehand
from unweave.errors import SettingError

if TYPE_CHECKING:
    from unweave.paths import Paths
    from unweave.runs.folder import RunFolder
    from unweave.search.cost import Cost
    from unweave.search.plan import Plan
    from unweave.search.search import Search


def disentangle(
    context: typer.Context,
    model: Model,
    out: Out,
    train: Annotated[
        str | None, typer.Argument(metavar="TRAIN", help=f"Images to search on: {DATA_HELP}.", show_default=False)
    ] = None,
    settings: NamedSettings = None,
    validation: Annotated[str | None, typer.Option(help="Images to measure on later, in the same forms.")] = None,
    level: Annotated[
        str, typer.Option(help="block, filter, heads, neurons, iccv2021:..., or value names by comma.")
    ] = "block",
    objective: Annotated[
        str,
        typer.Option(
            help="selective, released, variational, variational-noise, literal or concept-path; variants: "
            "docs/objectives.md."
        ),
    ] = "selective",
    beta: Annotated[
        str | None, typer.Option(help="Weight of the penalty: a number, or elbow. Default: elbow; selective: 1.")
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Only these classes: names or indices by comma.")] = None,
    groups: Annotated[
        Path | None, typer.Option(help='Several classes as one row: a JSON file {"name": [class names or indices]}.')
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Tell rows from these classes (names or indices by comma) instead of from all others."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="START",
            help="random, attribution, or a run folder or paths file of the same classes and sites, as unweave "
            "attribute makes. Default: attribution for selective, else random.",
        ),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(help="Share of all channels that every row keeps, for selective; in place of --beta."),
    ] = None,
    limit_per_class: Annotated[int | None, typer.Option(help="At most so many search images a class.")] = None,
    passes: Annotated[int, typer.Option(help="Passes over each class's images.")] = 20,
    rate: Annotated[float, typer.Option(help="Step length.")] = 0.1,
    batch: Annotated[int, typer.Option(help="Images of a class per step.")] = 16,
    no_reconstruction: Annotated[
        bool, typer.Option("--no-reconstruction", help="Leave the reconstruction out (an ablation; needs --beta).")
    ] = False,
    augment: Annotated[
        str,
        typer.Option(
            help="none, published (random resized crops and flips) or mild (larger crops of half of the images)."
        ),
    ] = "none",
    weights: Weights = None,
    preprocess: Preprocess = None,
    size: Size = None,
    classes_file: ClassesFile = None,
    logits: Logits = None,
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 for mixed precision.")] = "float32",
    seed: Seed = 0,
    device: Device = None,
    engine: Annotated[
        str,
        typer.Option(
            help="inline: in this process; processes: several of this machine; ray: workers of a Ray cluster "
            "(--address), or of a Ray started here."
        ),
    ] = "inline",
    workers: Annotated[
        int | None,
        typer.Option(help="How many processes; default: one a core, at most four; with --address: one a processor."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="For ray: a cluster to join; auto: the one that this machine is in."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the processor, a worker. Default: torch's, shared among workers.")
    ] = None,
    classes_per_shard: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rows that are searched together from the first pass to the last. Default: all, or a share for each "
            "worker, and no more than fit in memory.",
        ),
    ] = None,
    rows_per_batch: Annotated[
        int | None,
        typer.Option(min=1, help="Rows that share one pass through the network. Default: as many as run fastest."),
    ] = None,
    keep_activations: Annotated[
        bool | None,
        typer.Option(
            "--keep-activations/--no-keep-activations",
            help="Keep what the untouched network does between passes. Default: if it fits in 40 % of free memory.",
        ),
    ] = None,
    loaders: Loaders = 0,
    strict: Strict = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Find the sub-architecture of every class of a trained network.

    Scores are saved after every pass; the same command again goes on from there. With --settings, MODEL may be left
    out.

    Example: unweave disentangle networks.py:resnet20 cifar10:data --validation cifar10:data --preprocess imagenet
    --limit-per-class 100 --out run
    """
    from unweave.pipeline.inputs import Inputs
    from unweave.pipeline.measures import draw_elbow
    from unweave.pipeline.rows import class_indices, read_groups
    from unweave.pipeline.starts import start_named
    from unweave.runs.folder import RunFolder
    from unweave.search.cost import Cost
    from unweave.search.published import published_settings
    from unweave.search.search import Search
    from unweave.search.settings import Settings

    published = published_settings(settings) if settings is not None else None
    if train is None:
        if published is None or not is_typed(context, "model"):
            raise SettingError("Missing argument 'TRAIN'; see: unweave disentangle --help")
        model, train = published.model, model
    if published is not None:
        weights = weights_to_load(context, published, model, weights)
    chosen_beta = None if beta is None else _beta(beta)
    run = RunFolder(out)
    if not dry_run:
        run.check_writable()
    reading: dict[str, Any] = {"preprocess": preprocess, "size": size, "classes_file": classes_file}
    reading = without_unused(context, reading, train, validation)
    inputs = Inputs(model, train, validation, weights, logits=logits, loaders=loaders, strict=strict, **reading)
    notes: dict[str, Any] = {"inputs": inputs.as_manifest()}
    if settings is not None:
        read = {"model": model, "weights": weights, "level": level, **reading}
        steps = {"objective": objective, "beta": beta, "rate": rate, "passes": passes, "batch": batch}
        notes["published"] = said(context, settings, {**read, **steps, "augment": augment})
    network = inputs.network()
    images = inputs.images(train, network, train=True)
    plan: dict[str, Any] = {
        "threads": threads,
        "classes_per_shard": classes_per_shard,
        "rows_per_batch": rows_per_batch,
        "keep_activations": keep_activations,
    }
    asked = Settings(
        objective,
        chosen_beta,
        not no_reconstruction,
        classes=class_indices(classes, images) if classes else None,
        groups=read_groups(groups, images) if groups else None,
        against=class_indices(against, images) if against else None,
        limit_per_class=limit_per_class,
        rate=rate,
        passes=passes,
        batch=batch,
        augment=augment,
        seed=seed,
        precision=precision,
        start=start_named(start, network) if start else None,
        keep=keep,
        **plan,
    )
    search = Search.with_engine(
        engine,
        workers,
        network,
        images,
        level.split(",") if "/" in level else level,
        asked,
        validation=inputs.images(validation, network, train=False) if validation else None,
        device=device,
        logits=inputs.logits_key,
        folder=run,
        address=address,
        notes=notes,
    )
    if search.finished:
        sys.stderr.write(f"unweave: {out} holds this search already, finished\n")
        if dry_run:
            print_estimate(Cost.nothing(), json=json)
            return
    else:
        if published is not None:
            check_fit(published, model, search)
        cost = search.cost()
        if dry_run:
            _print_plan(cost, search.plan, json=json)
            return
        _say(search, cost, planned=any(value is not None for value in plan.values()))
    paths = search.run()
    if not run.has_inputs:
        run.write_inputs({"inputs": inputs.as_settings(), "seed": seed})
    _show(paths, run, draw_elbow(paths, run), json=json)


def _say(search: Search, cost: Cost, *, planned: bool) -> None:
    """What is about to be done; `planned`: options were typed that the plan of a run which goes on has no use for."""
    if search.begun and planned:
        sys.stderr.write(f"unweave: it goes on by the plan that it was begun with: {_words(search.plan)}\n")
    say_beforehand(f"{'going on; the whole search: ' if search.begun else 'searching '}{cost}", cost.seconds)


def _print_plan(cost: Cost, plan: Plan, *, json: bool) -> None:
    """What a search would take, and what of that can be changed."""
    together = min(plan.classes_per_shard or len(plan.targets), len(plan.targets))
    if json:
        chosen = {"threads": plan.threads, "classes_per_shard": together, "rows_per_batch": plan.rows_per_batch}
        print_json({**cost.as_dict(), "plan": {**chosen, "keep_activations": plan.kept}})
        return
    print_line(str(cost))
    print_line(f"plan: {_words(plan)}")


def _words(plan: Plan) -> str:
    """How a search goes through its rows, for a person."""
    shards, kept = len(plan.shards()), "kept" if plan.kept else "not kept"
    return (
        f"{len(plan.targets)} rows in {shards} shard{'s' if shards > 1 else ''}, {plan.rows_per_batch} a batch, "
        f"threads of a worker: {plan.threads or 'as torch uses'}, activations {kept}"
    )


def _show(paths: Paths, run: RunFolder, figures: list[Path], *, json: bool) -> None:
    kept, used = paths.kept().mean(0), paths.manifest["objective"]
    if json:
        usage = dict(zip(paths.sites.names, kept.tolist(), strict=True))
        files = [str(file) for file in (run.paths_file, run.inputs_file, *figures)]
        told = paths.manifest["settings"].get("keep")
        size = {"beta": float(used["beta"])} if told is None else {"keep": told}
        print_json({"rows": list(paths.rows.names), **size, "usage": usage, "files": files})
        return
    rows = zip(paths.sites.names, (site.channels for site in paths.sites), map(percent, kept), strict=True)
    print_table(
        f"{len(paths)} sub-architectures, {used['name']}, {_sized(paths)}",
        ["site", "channels", "kept (mean)"],
        rows,
    )
    print_line(f"Written: {run.paths_file}. Next: unweave analyse {run.root}")


def _sized(paths: Paths) -> str:
    """What decided how large they are."""
    told = paths.manifest["settings"].get("keep")
    return f"beta {paths.manifest['objective']['beta']:g}" if told is None else f"told to keep {percent(told)}"


def _beta(text: str) -> float | Literal["elbow"]:
    if text == "elbow":
        return "elbow"
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"--beta must be a number or elbow, found {text!r}") from None
