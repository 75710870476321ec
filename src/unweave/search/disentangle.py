"""`disentangle`: the sub-architecture of every class of a frozen network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from unweave.data.augmentation import AUGMENTATIONS
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import CaptureError, DataError, NumericError, SettingError
from unweave.network.capture import capture, evaluating_copy
from unweave.network.fingerprint import fingerprint
from unweave.network.folding import channels_last, fold_batch_norms, to_device
from unweave.network.graph import NetworkGraph
from unweave.network.sites import Level, Sites, nodes_of_sites, sites_of
from unweave.network.tapping import Multiplier, TappedNetwork
from unweave.paths import Paths, Rows
from unweave.progress import progress
from unweave.search.elbow import BETAS, Sweep, sweep_classes
from unweave.search.objectives import Objective, objective_named
from unweave.search.reference import Store, available_memory, bytes_per_image
from unweave.search.solver import Plan, Solver
from unweave.versions import versions

DEFAULT_OBJECTIVE = "released"
_CPU_BATCH_BYTES = 6_000_000
_CUDA_BATCH_IMAGES = 512


@dataclass(frozen=True)
class _Prepared:
    """A network made ready for a search: the folded graph with taps, and where it runs."""

    tapped: TappedNetwork
    captured: NetworkGraph
    sites: Sites
    device: torch.device
    dtype: torch.dtype


def disentangle(
    network: nn.Module,
    data: Data | LabelledImages,
    sites: Sites | Level = "block",
    objective: str | Objective = DEFAULT_OBJECTIVE,
    *,
    beta: float | Literal["elbow"] = "elbow",
    reconstruction: bool = True,
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
    keep_activations: bool | None = None,
    betas: Sequence[float] = BETAS,
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
        Training images: a data set or `DataLoader` of (image, class index).
    sites
        What `find_sites` returned, or a level for it (`"block"`, `"filter"`, `"iccv2021:vgg16"`, a list of names).
    objective
        `"released"`, `"variational"`, `"variational-noise"`, `"literal"`, `"concept-path"`, or an `Objective` (which
        brings its own beta).
    beta
        Weight of the penalty (the preprint's lambda for `concept-path`); `"elbow"` tries all of `betas` on the first
        5 % of the classes, at least three, and takes the elbow of reconstruction error against size (ICCV Appendix B).
        The sweep is kept in `paths.manifest["elbow"]`.
    reconstruction
        False leaves the reconstruction terms out (the preprint's ablation: lower masks may then become empty).
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
    keep_activations
        Whether what the untouched network does is kept between passes; default: if it fits in 40 % of free memory.
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
        chosen = _chosen_classes(images, classes, prepared.captured.classes)
        plan = _plan(prepared, images, chosen, locals())
        manifest: dict[str, Any] = {"method": "disentangle", "network": fingerprint(network)}
        if isinstance(objective, str):
            if beta == "elbow":
                sweep = _sweep(prepared, images, plan, objective, reconstruction, betas, show_progress)
                manifest["elbow"] = asdict(sweep)
                beta = sweep.chosen
            objective = objective_named(objective, _as_number(beta), reconstruction=reconstruction)
        solver = _solve(prepared, objective, images, plan, "disentangling", show_progress)
        manifest |= _describe(solver, images, prepared)
        return _to_paths(solver, prepared, images, manifest)


def prepare(
    network: nn.Module,
    images: LabelledImages,
    sites: Sites | Level,
    device: str | torch.device | None,
    logits: str | int | None,
) -> _Prepared:
    """Capture, fold, move and tap a network, and prove on real images that it still computes the same.

    Raises
    ------
    CaptureError
        If the graph with all gates open differs from the network.
    """
    example = images.images([0, 0])
    if isinstance(sites, Sites):
        logits = sites.logits if logits is None else logits
    captured = capture(network, example, logits)
    found = sites if isinstance(sites, Sites) else sites_of(captured, sites, logits)
    nodes_of_sites(captured, found)
    where = _device(device) if device is not None else captured.device
    folded = to_device(channels_last(fold_batch_norms(captured, found)), where)
    prepared = _Prepared(TappedNetwork(folded, found), folded, found, where, _working_dtype(captured))
    _self_test(network, images, prepared, logits)
    return prepared


def _device(device: str | torch.device) -> torch.device:
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise SettingError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return wanted


def _working_dtype(captured: NetworkGraph) -> torch.dtype:
    return torch.float64 if captured.dtype == torch.float64 else torch.float32


def _self_test(network: nn.Module, images: LabelledImages, prepared: _Prepared, logits: str | int | None) -> None:
    """All-ones gates on the folded graph must give the network's own output."""
    positions = np.linspace(0, len(images) - 1, min(8, len(images))).astype(int)
    batch = images.images(positions)
    own_module = evaluating_copy(network, logits)
    with torch.no_grad():
        own = own_module(batch.to(next(own_module.parameters(), batch).device))
        ones = [torch.ones(site.channels, device=prepared.device, dtype=prepared.dtype) for site in prepared.sites]
        here = prepared.tapped(batch.to(prepared.device), Multiplier(prepared.sites, ones)).to(own.device)
    if not torch.isfinite(own).all():
        raise NumericError("the network's class scores contain NaN or infinity for the given images")
    difference = float((own - here).abs().max())
    if difference > 1e-3 * max(1.0, float(own.abs().max())):
        raise CaptureError(
            f"the captured graph does not compute what the network does: class scores differ by {difference:.2g} "
            "(is it random, or different for other batch sizes, in evaluation mode?)"
        )


def _chosen_classes(images: LabelledImages, wanted: Sequence[int] | None, outputs: int) -> list[int]:
    present = images.classes
    if present[-1] >= outputs:
        raise DataError(f"the labels go up to {present[-1]}, the network has {outputs} class scores (0 to {outputs - 1})")
    if wanted is None:
        return present
    missing = sorted(set(wanted) - set(present))
    if missing:
        raise DataError(f"no images of class {', '.join(map(str, missing[:5]))}; there are images of {len(present)}")
    if len(set(wanted)) != len(wanted) or not wanted:
        raise SettingError("classes must name at least one class, each once")
    return sorted(wanted)


def _plan(prepared: _Prepared, images: LabelledImages, chosen: list[int], given: dict[str, Any]) -> Plan:
    for name in ("passes", "batch"):
        if given[name] < 1:
            raise SettingError(f"{name} must be at least 1, found {given[name]!r}")
    if given["limit_per_class"] is not None and given["limit_per_class"] < 1:
        raise SettingError(f"limit_per_class must be at least 1, found {given['limit_per_class']!r}")
    if not given["rate"] > 0:
        raise SettingError(f"rate must be above 0, found {given['rate']!r}")
    if given["seed"] < 0:
        raise SettingError(f"seed must be a whole number from 0, found {given['seed']!r}")
    if given["augment"] not in AUGMENTATIONS:
        raise SettingError(f"no augmentation {given['augment']!r}; there are {', '.join(AUGMENTATIONS)}")
    if given["precision"] not in ("float32", "bfloat16"):
        raise SettingError(f"no precision {given['precision']!r}; there are float32, bfloat16")
    if given["precision"] == "bfloat16" and prepared.dtype == torch.float64:
        raise SettingError("precision bfloat16 needs a float32 network")
    if given["augment"] == "published" and len(prepared.sites.image_shape) != 3:
        raise SettingError(f"augmentation needs images [channels, height, width], found {prepared.sites.image_shape}")
    rows = given["rows_per_batch"] or _rows_per_batch(prepared, given["batch"])
    keep = given["keep_activations"]
    if given["augment"] != "none":
        if keep:
            raise SettingError("keep_activations needs augment='none': augmented images differ from pass to pass")
        keep = False
    if keep is None:
        keep = given["passes"] > 1 and _fits(prepared, images, chosen, given["limit_per_class"])
    return Plan(
        classes=tuple(chosen),
        seed=given["seed"],
        passes=given["passes"],
        rate=float(given["rate"]),
        batch=given["batch"],
        rows_per_batch=min(rows, len(chosen)),
        augment=given["augment"],
        precision=given["precision"],
        kept=bool(keep),
        limit_per_class=given["limit_per_class"],
    )


def _rows_per_batch(prepared: _Prepared, batch: int) -> int:
    """On a CPU, activations that stay in the cache beat big batches; a GPU wants many images at once."""
    if prepared.device.type == "cpu":
        largest = max(int(np.prod(site.shape)) for site in prepared.sites) * 4 * batch
        return max(1, _CPU_BATCH_BYTES // largest)
    return max(1, _CUDA_BATCH_IMAGES // batch)


def _fits(prepared: _Prepared, images: LabelledImages, chosen: list[int], limit: int | None) -> bool:
    count = sum(min(int((images.labels == c).sum()), limit or len(images)) for c in chosen)
    itemsize = torch.empty(0, dtype=prepared.dtype).itemsize
    one = bytes_per_image(prepared.sites, prepared.sites.image_shape, prepared.captured.classes, itemsize)
    return count * one <= available_memory(prepared.device)


def _as_number(beta: Any) -> float:
    if isinstance(beta, bool) or not isinstance(beta, int | float):
        raise SettingError(f"beta must be a number or 'elbow', found {beta!r}")
    return float(beta)


def _store(images: LabelledImages, plan: Plan) -> Store | None:
    if not plan.kept:
        return None
    return Store(np.concatenate([images.of_class(c, plan.limit_per_class, plan.seed) for c in plan.classes]))


def _sweep(
    prepared: _Prepared,
    images: LabelledImages,
    plan: Plan,
    objective: str,
    reconstruction: bool,
    betas: Sequence[float],
    show_progress: bool | None,
) -> Sweep:
    """Search the first classes with every beta, on at most 100 images each, and read off the elbow."""
    if len(plan.classes) < 3:
        raise SettingError(f"the elbow needs at least three classes, found {len(plan.classes)}; give beta a number")
    if not reconstruction:
        raise SettingError("the elbow weighs reconstruction against size: give beta a number with reconstruction=False")
    limit = min(100, plan.limit_per_class or 100)
    small = replace(plan, classes=tuple(sweep_classes(plan.classes)), limit_per_class=limit)
    small = replace(small, rows_per_batch=min(small.rows_per_batch, len(small.classes)))
    store = _store(images, small)
    errors, sizes = [], []
    for beta in betas:
        named = objective_named(objective, float(beta))
        solver = _solve(prepared, named, images, small, f"elbow, beta {beta:g}", show_progress, store)
        error, size = solver.measure()
        errors.append(error)
        sizes.append(size)
    return Sweep.read(tuple(float(b) for b in betas), tuple(errors), tuple(sizes), small.classes)


def _solve(
    prepared: _Prepared,
    objective: Objective,
    images: LabelledImages,
    plan: Plan,
    title: str,
    show_progress: bool | None,
    store: Store | None = None,
) -> Solver:
    store = store or _store(images, plan)
    solver = Solver(prepared.tapped, objective, images, plan, prepared.device, prepared.dtype, store)
    with progress(title, plan.passes * len(solver.batches(0)), show_progress) as advance:
        for number in range(plan.passes):
            note = f"pass {number + 1} of {plan.passes}"
            solver.run_pass(number, lambda loss, note=note: advance(1, note))  # type: ignore[misc]
    return solver


def _describe(solver: Solver, images: LabelledImages, prepared: _Prepared) -> dict[str, Any]:
    plan = asdict(solver.plan)
    searched = np.concatenate([solver.images[c] for c in solver.plan.classes])
    never = [c for c, steps in zip(solver.plan.classes, solver.steps.tolist(), strict=True) if steps == 0]
    if never:
        names = ", ".join(images.name_of(c) for c in never[:5])
        warnings.warn(
            f"the network classifies no search image of {len(never)} classes correctly ({names}); their rows are random",
            stacklevel=3,
        )
    return {
        "objective": solver.objective.settings(),
        "settings": {**plan, "classes": list(plan["classes"]), "device": solver.device.type},
        "seed": solver.plan.seed,
        "steps": solver.steps.tolist(),
        "classes_without_steps": never,
        "data": {"search": images.fingerprint(searched)},
        "versions": versions(),
        "threads": torch.get_num_threads(),
    }


def _to_paths(solver: Solver, prepared: _Prepared, images: LabelledImages, manifest: dict[str, Any]) -> Paths:
    classes = solver.plan.classes
    rows = Rows.of_classes(classes, [images.name_of(c) for c in classes])
    tables = {site.name: score.cpu() for site, score in zip(prepared.sites, solver.scores, strict=True)}
    return Paths({name: score > 0 for name, score in tables.items()}, rows, prepared.sites, manifest, tables)


