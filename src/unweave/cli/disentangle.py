"""`unweave disentangle`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from unweave.cli.options import (
    DATA_HELP,
    ClassesFile,
    Device,
    Json,
    Logits,
    Model,
    Preprocess,
    Seed,
    Size,
    Weights,
)
from unweave.cli.output import percent, print_json, print_line, print_table
from unweave.errors import SettingError


def disentangle(
    model: Model,
    train: Annotated[str, typer.Argument(metavar="TRAIN", help=f"Images to search on: {DATA_HELP}.")],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    validation: Annotated[str | None, typer.Option(help="Images to measure on later, in the same forms.")] = None,
    level: Annotated[str, typer.Option(help="block, filter, iccv2021:..., or value names by comma.")] = "block",
    objective: Annotated[
        str,
        typer.Option(
            help="released, variational, variational-noise, literal or concept-path; variants: docs/objectives.md."
        ),
    ] = "released",
    beta: Annotated[str, typer.Option(help="Weight of the penalty: a number, or elbow.")] = "elbow",
    classes: Annotated[str | None, typer.Option(help="Only these classes: names or indices by comma.")] = None,
    limit_per_class: Annotated[int | None, typer.Option(help="At most so many search images a class.")] = None,
    passes: Annotated[int, typer.Option(help="Passes over each class's images.")] = 20,
    rate: Annotated[float, typer.Option(help="Step length.")] = 0.1,
    batch: Annotated[int, typer.Option(help="Images of a class per step.")] = 16,
    no_reconstruction: Annotated[
        bool, typer.Option("--no-reconstruction", help="Leave the reconstruction out (an ablation; needs --beta).")
    ] = False,
    augment: Annotated[str, typer.Option(help="none or published (random resized crops and flips).")] = "none",
    weights: Weights = None,
    preprocess: Preprocess = None,
    size: Size = None,
    classes_file: ClassesFile = None,
    logits: Logits = None,
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 for mixed precision.")] = "float32",
    seed: Seed = 0,
    device: Device = None,
    json: Json = False,
) -> None:
    """Find the sub-architecture of every class of a trained network.

    Example: unweave disentangle networks.py:resnet20 cifar10:data --validation cifar10:data --preprocess imagenet
    --limit-per-class 100 --out run
    """
    from unweave.pipeline.inputs import Inputs
    from unweave.pipeline.measures import draw_elbow
    from unweave.runs.folder import RunFolder
    from unweave.search.disentangle import disentangle as find_paths

    chosen_beta = _beta(beta)
    run = RunFolder(out)
    inputs = Inputs(
        model, train, validation, weights, preprocess, size, str(classes_file) if classes_file else None, logits
    )
    network = inputs.network()
    images = inputs.images(train, network, train=True)
    held_out = inputs.images(validation, network, train=False) if validation else None
    wanted = _classes(classes, images) if classes else None
    run.prepare()
    paths = find_paths(
        network,
        images,
        level.split(",") if "/" in level else level,
        objective,
        beta=chosen_beta,
        validation=held_out,
        classes=wanted,
        limit_per_class=limit_per_class,
        rate=rate,
        passes=passes,
        augment=augment,
        seed=seed,
        device=device,
        precision=precision,
        batch=batch,
        reconstruction=not no_reconstruction,
        logits=inputs.logits_key,
    ).with_notes(inputs=inputs.as_manifest())
    paths.save(run.paths_file)
    run.write_settings({"inputs": inputs.as_settings(), "seed": seed})
    figures = draw_elbow(paths, run)
    kept = paths.kept().mean(0)
    if json:
        usage = dict(zip(paths.sites.names, kept.tolist(), strict=True))
        files = [str(file) for file in (run.paths_file, run.settings_file, *figures)]
        print_json({"rows": list(paths.rows.names), "beta": _used_beta(paths.manifest), "usage": usage, "files": files})
        return
    rows = zip(paths.sites.names, (site.channels for site in paths.sites), map(percent, kept), strict=True)
    print_table(
        f"{len(paths)} sub-architectures, {objective}, beta {_used_beta(paths.manifest):g}",
        ["site", "channels", "kept (mean)"],
        rows,
    )
    print_line(f"Written: {run.paths_file}. Next: unweave analyse {out}")


def _beta(text: str) -> float | Literal["elbow"]:
    if text == "elbow":
        return "elbow"
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"--beta must be a number or elbow, found {text!r}") from None


def _used_beta(manifest: Any) -> float:
    return float(manifest["objective"]["beta"])


def _classes(text: str, images: Any) -> list[int]:
    """Names or indices by comma."""
    found = []
    for part in (part.strip() for part in text.split(",")):
        matches = [index for index, name in enumerate(images.class_names or ()) if name == part]
        if len(matches) > 1:
            raise SettingError(f"{len(matches)} classes are named {part!r}; give the index: {matches}")
        if not matches and not part.isdigit():
            raise SettingError(f"no class {part!r}")
        found.append(matches[0] if matches else int(part))
    return found
