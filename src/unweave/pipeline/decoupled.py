"""From a folder that `unweave decouple` wrote to the paths of inputs through its network."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from unweave.data.labelled import LabelledImages
from unweave.decoupling.format import load_decoupled
from unweave.decoupling.input_paths import METHOD, input_paths
from unweave.decoupling.network import DecoupledNetwork
from unweave.decoupling.training.folder import TrainingFolder
from unweave.errors import RunError
from unweave.network.devices import usable_device
from unweave.network.fingerprint import check_fingerprint
from unweave.paths import Paths
from unweave.pipeline.inputs import Inputs, recorded_inputs
from unweave.places import is_url, place
from unweave.runs.folder import RunFolder
from unweave.runs.identity import check_images, check_parts, check_same


@dataclass(frozen=True)
class OpenedDecoupled:
    """A decoupled network, images to see through it, and how both are opened again."""

    network: DecoupledNetwork
    images: LabelledImages
    inputs: Inputs
    seed: int


def open_decoupled(
    folder: Path, data: str, *, train: bool, last: bool, strict: bool, device: str | None
) -> OpenedDecoupled:
    """The network that training in `folder` found best (or, without validation or if `last`, ended with), and `data`.

    Raises
    ------
    RunError
        If `folder` holds no network.
    """
    training = TrainingFolder(folder)
    inputs, seed = recorded_inputs(training)
    file = training.last_file if last or not os.path.isfile(training.best_file) else training.best_file
    if not os.path.isfile(file):
        raise RunError(f"{folder} has no {file.name}: no epoch of unweave decouple was finished there")
    inputs = replace(inputs, train=data, validation=None, strict=strict)
    plain = inputs.network()
    images = inputs.images(data, plain, train=train)
    network = load_decoupled(plain, file, images.images(images.intact(1)))
    if device is not None:
        network.to(usable_device(device))
    return OpenedDecoupled(network, images, inputs, seed)


def refuse_training(*folders: Path) -> None:
    """Refuse folders that hold a decoupled network where paths are wanted.

    Raises
    ------
    RunError
        Naming the first such folder and the command that makes paths of it.
    """
    for folder in folders:
        if is_url(place(folder)):  # no training is kept there
            continue
        if TrainingFolder(folder).holds_networks and not RunFolder(folder).finished:
            raise RunError(
                f"{folder} holds a decoupled network (unweave decouple made it), no paths yet; make those of its "
                f"inputs: unweave paths {folder} DATA --out PATHS, then give PATHS instead"
            )


def write_paths(
    opened: OpenedDecoupled, run: RunFolder, *, limit: int | None, batch: int | None, with_scores: bool
) -> Paths:
    """The paths of the images, kept in `run`; the same call again writes the same.

    Raises
    ------
    RunError, MismatchError
        If `run` was begun with another method, network, other images or other settings.
    """
    with run.opened():
        begun = run.read_record()
        if begun is not None:
            asked = begun.get("asked")
            method = asked.get("method") if isinstance(asked, dict) else None
            if method != METHOD:
                raise RunError(f"{run.root} holds a run of another command; give another folder: --out")
        notes = {"inputs": opened.inputs.as_manifest()}
        found = input_paths(
            opened.network, opened.images, limit=limit, batch=batch, with_scores=with_scores, notes=notes
        )
        record = {
            "asked": {"method": METHOD, "with_scores": with_scores, "notes": notes},
            "network": found.manifest["network"],
            "data": found.manifest["data"],
        }
        if begun is None:
            run.begin(record)
        else:
            check_parts(run.record_file, begun, ("network", "data"))
            check_same(run.root, begun["asked"], record["asked"])
            check_fingerprint(record["network"], begun["network"], f"the run in {run.root} was begun with")
            check_images(run.root, "given", begun["data"].get("inputs"), record["data"]["inputs"])
        found.save(run.paths_file)
        run.write_inputs({"inputs": opened.inputs.as_settings(), "seed": opened.seed})
    return found
