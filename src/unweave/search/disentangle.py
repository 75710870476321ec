"""`disentangle`: the sub-architecture of every class of a frozen network."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import DataError, FewStepsWarning, SettingError
from unweave.network.fingerprint import fingerprint
from unweave.network.sites import Level, Sites
from unweave.paths import Paths, Rows
from unweave.progress import progress
from unweave.search.elbow import BETAS, REFINEMENTS, Sweep, between, sweep_classes
from unweave.search.objectives import Objective, objective_named
from unweave.search.plan import Plan, make_plan
from unweave.search.preparation import Prepared, prepare
from unweave.search.reference import Store
from unweave.search.solver import Solver
from unweave.versions import versions

DEFAULT_OBJECTIVE = "released"


def disentangle(
    network: nn.Module,
    data: Data | LabelledImages,
    sites: Sites | Level = "block",
    objective: str | Objective = DEFAULT_OBJECTIVE,
    *,
    beta: float | Literal["elbow"] = "elbow",
    reconstruction: bool = True,
    validation: Data | LabelledImages | None = None,
    classes: Sequence[int] | None = None,
    labels: Sequence[int] | Tensor | None = None,
    limit_per_class: int | None = None,
    rate: float = 0.1,
    passes: int = 20,
    batch: int = 16,
    augment: str = "none",
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: str = "float32",
    rows_per_batch: int | None = None,
    classes_per_shard: int | None = None,
    keep_activations: bool | None = None,
    betas: Sequence[float] = BETAS,
    elbow_limit_per_class: int = 200,
    logits: str | int | None = None,
    show_progress: bool | None = None,
) -> Paths:
    """Find, for every class, the channels that a frozen network needs to recognise it (NAD, ICCV 2021).

    For each class `c` and site `i`, scores `s` are learned by normalised gradient steps on images of the class (ICCV
    Eq. 15, `s -= rate * g / ||g||_2`, the norm over the site's channels), from N(0, 1), while channels are multiplied
    with `sigmoid(s)`; a channel belongs to the class's sub-architecture if `sigmoid(s) > 0.5` (Eq. 16). Classes share
    batches but not losses, so each result is that of a search for the class alone.

    Parameters
    ----------
    network
        Maps images `[batch, ...]` to class scores `[batch, classes]`. Never changed; used in evaluation mode.
    data
        Training images: a data set or `DataLoader` of (image, class index). A loader's sampler and batch size are not
        used: the search makes batches of its own, class by class.
    sites
        What `find_sites` returned, or a level for it (`"block"`, `"filter"`, `"iccv2021:vgg16"`, a list of names).
    objective
        `"released"`, `"variational"`, `"variational-noise"`, `"literal"`, `"concept-path"`, or an `Objective` (which
        brings its own beta).
    beta
        Weight of the penalty (the preprint's lambda for `concept-path`); `"elbow"` tries all of `betas` on the first
        5 % of the classes, at least three, and takes the elbow of reconstruction error against size (ICCV Appendix B).
        Betas between the elbow and its neighbours are tried too. The sweep is kept in `paths.manifest["elbow"]`.
    reconstruction
        False leaves the reconstruction terms out (the preprint's ablation: lower masks may then become empty).
    validation
        Images that will be measured on; the search does not use them, it records their fingerprint in the manifest.
    classes
        Class indices to search; default: all that have images.
    labels
        The class of each image, where the data set does not tell.
    limit_per_class
        At most so many images a class, drawn by (seed, class).
    rate, passes, batch
        Step length, passes over each class's images, images of a class per step.
    augment
        `"none"`, or `"published"`: random resized crops and flips.
    device
        Default: where the network is.
    precision
        `"float32"`, or `"bfloat16"`: the network's own operations in mixed precision; scores and losses stay float32.
    rows_per_batch
        Classes that share one pass through the network; default: as many as run fastest.
    classes_per_shard
        Classes searched from the first pass to the last before the next ones begin; default: all, or as many as have
        activations that fit in memory. It does not change the result.
    keep_activations
        Whether what the untouched network does is kept between passes; default: if it fits in 40 % of free memory, for
        all classes or, one shard of classes after the other, for some at a time.
    betas, elbow_limit_per_class
        What the elbow tries, on at most so many images a class.
    logits
        For networks that return a dict, tuple or dataclass: which part is the class scores.
    show_progress
        Default: if standard error is a terminal.

    Returns
    -------
    Paths
        One row per class, ascending, with scores.

    Raises
    ------
    CaptureError, SiteError
        If the network cannot be captured or has no such site.
    DataError, SettingError
        If data or a setting cannot be used.
    NumericError
        If NaN or infinity appears, naming the site.
    """
    with torch.inference_mode(False), torch.enable_grad():
        images = labelled(data, labels)
        prepared = prepare(network, images, sites, device, logits)
        plan = make_plan(
            prepared,
            images,
            classes,
            seed=seed,
            passes=passes,
            rate=rate,
            batch=batch,
            augment=augment,
            precision=precision,
            limit_per_class=limit_per_class,
            rows_per_batch=rows_per_batch,
            classes_per_shard=classes_per_shard,
            keep_activations=keep_activations,
        )
        manifest: dict[str, Any] = {"method": "disentangle", "network": fingerprint(network)}
        if isinstance(objective, str):
            if beta == "elbow":
                sweep = _sweep(
                    prepared, images, plan, objective, reconstruction, betas, elbow_limit_per_class, show_progress
                )
                manifest["elbow"] = asdict(sweep)
                beta = sweep.chosen
            objective = objective_named(objective, _as_number(beta), reconstruction=reconstruction)
        elif beta != "elbow" or not reconstruction:
            raise SettingError("an Objective brings its own beta and reconstruction; give them there")
        shards = _solve(prepared, objective, images, plan, "disentangling", show_progress)
        manifest |= _describe(objective, plan, shards, images, prepared)
        if validation is not None:
            kept = labelled(validation)
            manifest["data"]["validation"] = kept.fingerprint(np.arange(len(kept)))
        return _to_paths(shards, prepared, images, manifest)


def _as_number(beta: Any) -> float:
    if isinstance(beta, bool) or not isinstance(beta, numbers.Real):
        raise SettingError(f"beta must be a number or 'elbow', found {beta!r}")
    return float(beta)


def _sweep(
    prepared: Prepared,
    images: LabelledImages,
    plan: Plan,
    objective: str,
    reconstruction: bool,
    betas: Sequence[float],
    limit: int,
    show_progress: bool | None,
) -> Sweep:
    """Search the first classes with every beta, on at most `limit` images each, then with betas between the elbow and
    its neighbours, and read off the elbow of all."""
    if len(plan.classes) < 3:
        raise SettingError(f"the elbow needs at least three classes, found {len(plan.classes)}; give beta a number")
    if not reconstruction:
        raise SettingError("the elbow weighs reconstruction against size: give beta a number with reconstruction=False")
    if len(set(betas)) < 3:
        raise SettingError(f"an elbow needs at least three betas, found {len(set(betas))}")
    limit = min(limit, plan.limit_per_class or limit)
    chosen = tuple(sweep_classes(plan.classes))
    small = replace(plan, classes=chosen, limit_per_class=limit, rows_per_batch=min(plan.rows_per_batch, len(chosen)))
    # What the untouched network does is the same for every beta; one store serves all.
    store = small.store(images) if small.classes_per_shard is None else None
    measured_at: dict[float, tuple[float, float]] = {}

    def search(beta: float) -> None:
        named = objective_named(objective, beta)
        shards = _solve(prepared, named, images, small, f"elbow, beta {beta:g}", show_progress, store)
        measured = np.concatenate([solver.measure() for solver in shards])
        if not len(measured):
            raise DataError("the network classifies no image of the elbow's classes correctly; give beta a number")
        error, size = measured.mean(0)
        measured_at[beta] = float(error), float(size)

    for beta in dict.fromkeys(float(b) for b in betas):
        search(beta)
    sweep = Sweep.read(measured_at, small.classes)
    for _ in range(REFINEMENTS):
        for beta in between(sweep.betas, sweep.betas.index(sweep.chosen)):
            search(beta)
        sweep = Sweep.read(measured_at, small.classes)
    return sweep


def _solve(
    prepared: Prepared,
    objective: Objective,
    images: LabelledImages,
    plan: Plan,
    title: str,
    show_progress: bool | None,
    store: Store | None = None,
) -> list[Solver]:
    """Run every shard's passes; the shards' rows together are the result."""
    solvers = []
    shards = plan.shards()
    batches = plan.batches_per_pass(images)
    with progress(title, plan.passes * batches, show_progress) as advance:
        for index, shard in enumerate(shards):
            kept = store or shard.store(images)
            solver = Solver(prepared.tapped, objective, images, shard, prepared.device, prepared.dtype, kept)
            for number in range(shard.passes):
                note = f"pass {number + 1} of {shard.passes}"
                if len(shards) > 1:
                    note += f", shard {index + 1} of {len(shards)}"
                solver.run_pass(number, lambda loss, note=note: advance(1, note))  # type: ignore[misc]
            solver.store = store  # a shard's own activations are not needed any more
            solvers.append(solver)
    return solvers


def _describe(
    objective: Objective, plan: Plan, shards: list[Solver], images: LabelledImages, prepared: Prepared
) -> dict[str, Any]:
    searched = np.concatenate(list(plan.images(images).values()))
    made = np.concatenate([solver.steps for solver in shards]).tolist()
    never = [c for c, steps in zip(plan.classes, made, strict=True) if steps == 0]
    if never:
        names = ", ".join(images.name_of(c) for c in never[:5])
        warnings.warn(
            f"the network classifies no search image of {len(never)} classes correctly ({names}); "
            "their rows are random",
            stacklevel=3,
        )
    _warn_of_few_steps(plan, made, prepared.sites)
    return {
        "objective": objective.settings(),
        "settings": {**asdict(plan), "classes": list(plan.classes), "device": prepared.device.type},
        "seed": plan.seed,
        "steps": made,
        "classes_without_steps": never,
        "data": {"search": images.fingerprint(searched)},
        "versions": versions(),
        "threads": torch.get_num_threads(),
    }


def _warn_of_few_steps(plan: Plan, made: list[int], sites: Sites) -> None:
    """Scores start at N(0, 1), a vector of length sqrt(channels), and each step moves them by `rate` at most."""
    widest = max(sites, key=lambda site: site.channels)
    start = widest.channels**0.5
    short = [steps for steps in made if 0 < steps * plan.rate < start]
    if short:
        warnings.warn(
            f"{len(short)} of {len(made)} classes made so few steps (from {min(short)} of {plan.rate:g}) that scores "
            f"moved by at most {min(short) * plan.rate:.3g}, while those of {widest.name!r} start at length "
            f"{start:.3g}: their masks are still mostly the random start; raise passes, rate or images a class",
            FewStepsWarning,
            stacklevel=4,
        )


def _to_paths(shards: list[Solver], prepared: Prepared, images: LabelledImages, manifest: dict[str, Any]) -> Paths:
    classes = [c for solver in shards for c in solver.plan.classes]
    rows = Rows.of_classes(classes, [images.name_of(c) for c in classes])
    tables = {
        site.name: torch.cat([solver.scores[position] for solver in shards]).cpu()
        for position, site in enumerate(prepared.sites)
    }
    return Paths({name: score > 0 for name, score in tables.items()}, rows, prepared.sites, manifest, tables)
