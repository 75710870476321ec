"""`unweave decouple`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

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
)
from unweave.cli.output import percent, print_estimate, print_json, print_line, print_table

if TYPE_CHECKING:
    from unweave.decoupling.training.folder import TrainingFolder
    from unweave.decoupling.training.settings import FitSettings
    from unweave.tables import Table


def decouple(
    model: Model,
    train: Annotated[str, typer.Argument(metavar="TRAIN", help=f"Images to train on: {DATA_HELP}.")],
    out: Out,
    validation: Annotated[str | None, typer.Option(help="Images to measure on, in the same forms.")] = None,
    keep: Annotated[
        float | None, typer.Option(help="Share of filters to aim at, up to 1; without it the share is found.")
    ] = None,
    settings: Annotated[
        str, typer.Option(help="cifar, imagenet-vgg16, imagenet-resnet18 (published schedules), or fine-tune.")
    ] = "fine-tune",
    epochs: Annotated[int | None, typer.Option(help="Epochs, instead of the settings'.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step, of all processes together.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate to begin with.")] = None,
    controller_rate: Annotated[
        float | None, typer.Option(help="What the rate is multiplied by for controlling modules.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay.")] = None,
    mutual_information: Annotated[float | None, typer.Option(help="Weight of the mutual information loss.")] = None,
    divergence: Annotated[float | None, typer.Option(help="Weight of the divergence loss.")] = None,
    sparsity: Annotated[float | None, typer.Option(help="Weight of the sparsity loss.")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, cifar (padded crops, flips) or imagenet (resized crops, flips).")
    ] = None,
    recalibrate: Annotated[
        int | None, typer.Option(help="Images to estimate batch norms' statistics on after each epoch, without noise.")
    ] = None,
    weights: Weights = None,
    preprocess: Preprocess = None,
    size: Size = None,
    classes_file: ClassesFile = None,
    logits: Logits = None,
    precision: Annotated[str | None, typer.Option(help="float32, or bfloat16 for mixed precision.")] = None,
    seed: Seed = 0,
    device: Device = None,
    loaders: Loaders = 0,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write events for TensorBoard.")] = False,
    strict: Strict = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a network that selects filters for every image, and train it.

    Every epoch is saved; the same command again goes on from there. With torchrun --no-python in front of it several
    processes train together.

    Example: unweave decouple networks.py:resnet20 cifar10:data --validation cifar10:data --preprocess imagenet
    --keep 0.6 --settings cifar --out decoupled
    """
    from unweave.decoupling.network import decouple as decoupled
    from unweave.decoupling.training.folder import TrainingFolder
    from unweave.decoupling.training.training import Training
    from unweave.pipeline.inputs import Inputs

    given = {
        "epochs": epochs,
        "batch": batch,
        "rate": rate,
        "controller_rate": controller_rate,
        "weight_decay": weight_decay,
        "augment": augment,
        "precision": precision,
        "recalibrate": recalibrate,
        "seed": seed,
    }
    terms = {"mutual_information": mutual_information, "divergence": divergence, "sparsity": sparsity}
    chosen = _settings(settings, given, terms)
    folder = TrainingFolder(out)
    if not dry_run:
        folder.check_writable()
    inputs = Inputs(
        model, train, validation, weights, preprocess, size, classes_file, logits, loaders=loaders, strict=strict
    )
    network = inputs.network()
    images = inputs.images(train, network, train=True)
    held_out = inputs.images(validation, network, train=False) if validation else None
    example = images.images(images.intact(2))
    net = decoupled(network, example, keep, logits=inputs.logits_key, seed=seed)
    training = Training(net, images, held_out, chosen, folder=folder, device=device, tensorboard=tensorboard)
    if dry_run:
        print_estimate(training.cost(), json=json)
        return
    if training.first and sys.stderr.isatty():
        sys.stderr.write(f"unweave: {'going on with' if training.begun else 'training'} {out}\n")
    if training.first:  # before the work: the networks of an interrupted training can be used
        folder.write_inputs({"inputs": inputs.as_settings(), "seed": seed})
    table = training.run()
    if training.first:
        _show(table, folder, json=json)


def _settings(name: str, given: dict[str, Any], terms: dict[str, float | None]) -> FitSettings:
    from dataclasses import replace

    from unweave.decoupling.training.settings import FitSettings

    chosen = FitSettings.of(name, {key: value for key, value in given.items() if value is not None})
    return replace(
        chosen, weights=replace(chosen.weights, **{key: value for key, value in terms.items() if value is not None})
    )


def _show(table: Table, folder: TrainingFolder, *, json: bool) -> None:
    found = table.summary
    networks = [file for file in (folder.last_file, folder.best_file) if file.is_file()]
    if json:
        files = [*networks, folder.table("training").with_suffix(".csv"), folder.inputs_file]
        print_json({"epochs": len(table), **table.as_dict()["summary"], "files": [str(file) for file in files]})
        return
    original, mean = float(found["original_multiply_accumulates"]), float(found["multiply_accumulates"])
    spread = float(found["multiply_accumulates_spread"])
    rows = [
        ("original", percent(float(found["original_accuracy"])), "100.0 %", _count(original), "-", "1.000"),
        (
            "decoupled",
            percent(float(found["accuracy"])),
            percent(float(found["gates_open"])),
            _count(mean),
            _count(spread),
            f"{mean / original:.3f}",
        ),
    ]
    columns = ["network", "accuracy", "filters selected", "multiply-accumulates (mean)", "spread", "ratio"]
    print_table(f"{len(table)} epochs; on {found['images']} {found['measured_on']} images", columns, rows)
    if found["images_with_an_empty_layer"]:
        print_line(f"{found['images_with_an_empty_layer']} images have a layer that selects no filter (zero there)")
    print_line(f"Written: {', '.join(map(str, networks))}")


def _count(value: float) -> str:
    return f"{round(value):,}"
