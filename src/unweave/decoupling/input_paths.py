"""The calculation paths that inputs take through a decoupled network, as `Paths`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.data.damage import warn_of_damage
from unweave.data.inputs import evenly_spread
from unweave.data.labelled import LabelledImages
from unweave.decoupling.controlled import Record
from unweave.decoupling.network import DecoupledNetwork
from unweave.errors import DataError, NumericError, SettingError
from unweave.network.fingerprint import fingerprint
from unweave.network.refusals import first_line
from unweave.network.shared_copy import shared_copy
from unweave.network.sites import Site, Sites
from unweave.paths import Paths, Rows
from unweave.progress import progress
from unweave.versions import versions

METHOD = "decoupled"
_BATCH_BYTES, _MOST_IMAGES = 6_000_000, 256
"""On a CPU, activations that stay in the cache beat big batches."""
_NAMED = 5


@dataclass
class _Found:
    """What the batches gave so far; the lists hold one table a batch, those of `gates` and `controls` by layer."""

    positions: list[np.ndarray] = field(default_factory=list)
    predictions: list[Tensor] = field(default_factory=list)
    gates: list[list[Tensor]] = field(default_factory=list)
    controls: list[list[Tensor]] = field(default_factory=list)
    damaged: dict[int, str] = field(default_factory=dict)


@torch.inference_mode(mode=False)
@torch.no_grad()
def input_paths(
    network: DecoupledNetwork,
    images: LabelledImages,
    *,
    batch: int | None = None,
    limit: int | None = None,
    with_scores: bool = True,
    notes: dict[str, Any] | None = None,
    show_progress: bool | None = None,
) -> Paths:
    """What `DecoupledNetwork.paths` returns; `notes` (plain values) go into the manifest."""
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise SettingError(f"batch must be a whole number of at least 1, found {batch!r}")
    positions = evenly_spread(images, limit)
    own = shared_copy(network)
    assert isinstance(own, DecoupledNetwork)
    sites = gated_sites(own, images.images(images.intact(1)))
    size = batch or _images_per_batch(sites)
    plan = [positions[start : start + size] for start in range(0, len(positions), size)]
    found = _Found()
    with progress("finding paths", len(positions), show_progress) as advance:
        for done in _observed(own, images, plan, sites, found, keep_controls=with_scores):
            advance(done)
    warn_of_damage(found.damaged, len(positions))
    masks = {name: torch.cat(tables) for name, tables in zip(sites.names, _by_layer(found.gates), strict=True)}
    scores = None
    if with_scores:
        scores = {name: torch.cat(tables) for name, tables in zip(sites.names, _by_layer(found.controls), strict=True)}
    rows = _rows(images, np.concatenate(found.positions), torch.cat(found.predictions))
    manifest = {
        "method": METHOD,
        "network": fingerprint(network),
        "settings": {"keep": network.keep, "batch": size, "device": next(network.parameters()).device.type},
        "inputs_without_filters": _without_filters(masks, len(rows)),
        "class_names": images.names_of([*rows.labels, *rows.predictions]),
        "damaged_images": len(found.damaged),
        "data": {"inputs": images.fingerprint(positions)},
        "versions": versions(),
        **(notes or {}),
    }
    return Paths(masks, rows, sites, manifest, scores)


def gated_sites(network: DecoupledNetwork, example: Tensor) -> Sites:
    """The outputs of the controlled convolutions, gates applied, in the order they run; `example` `[batch, ...]`. The
    same that `find_sites` finds by these names, without a capture."""
    record, _ = _run(network, example)
    # The one product in a controlled convolution is that of its output with its gates.
    found = [
        Site(f"network.{name}/mul:0", 1, shape[0], shape)
        for name, shape in zip(network.layer_names, record.shapes, strict=True)
    ]
    return Sites(found, tuple(example.shape[1:]), str(example.dtype).removeprefix("torch."), network.logits)


def _run(network: DecoupledNetwork, images: Tensor) -> tuple[Record, Tensor]:
    """What one pass selects, and its class scores."""
    try:
        with network.recording() as record:
            return record, network(images.to(next(network.parameters()).device))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        kind = str(images.dtype).removeprefix("torch.")
        raise DataError(
            f"the network cannot take images of shape {tuple(images.shape[1:])} and type {kind}: {first_line(error)}"
        ) from error


def _images_per_batch(sites: Sites) -> int:
    largest = max(math.prod(site.shape) for site in sites) * 4
    return max(1, min(_MOST_IMAGES, _BATCH_BYTES // largest))


def _observed(
    own: DecoupledNetwork,
    images: LabelledImages,
    plan: list[np.ndarray],
    sites: Sites,
    found: _Found,
    *,
    keep_controls: bool,
) -> Iterator[int]:
    """Fill `found`, and say after each batch how many images it had."""
    for read in images.batches(plan):
        found.damaged |= {one.position: one.reason for one in read.damaged}
        if read.images is not None:
            _check_shape(read.images, read.positions, sites)
            record, scores = _run(own, read.images)
            _check_finite(record, scores, own.layer_names, read.positions)
            found.positions.append(read.positions)
            found.predictions.append(scores.argmax(1).cpu())
            found.gates.append([gates.cpu() > 0 for gates in record.gates])
            found.controls.append([controls.cpu() for controls in record.controls] if keep_controls else [])
        yield len(read.positions) + len(read.damaged)


def _check_shape(images: Tensor, positions: np.ndarray, sites: Sites) -> None:
    if tuple(images.shape[1:]) != sites.image_shape:
        raise DataError(
            f"images {positions[0]} to {positions[-1]} have shape {tuple(images.shape[1:])}, {sites.image_shape} is "
            "needed; resize and crop them to one size"
        )


def _check_finite(record: Record, scores: Tensor, names: Sequence[str], positions: np.ndarray) -> None:
    where = f"(in images {positions[0]} to {positions[-1]})"
    for name, responses, controls in zip(names, record.responses, record.controls, strict=True):
        if not torch.isfinite(responses).all() or controls.isnan().any():
            raise NumericError(f"NaN or infinity in layer {name!r} {where}; are images or weights damaged?")
    if not torch.isfinite(scores).all():
        raise NumericError(f"the class scores contain NaN or infinity {where}; are images or weights damaged?")


def _by_layer(batches: list[list[Tensor]]) -> list[tuple[Tensor, ...]]:
    return list(zip(*batches, strict=True))


def _rows(images: LabelledImages, positions: np.ndarray, predictions: Tensor) -> Rows:
    names = [str(position) for position in positions]
    return Rows.of_inputs(
        len(positions),
        names=names,
        sources=names,
        labels=images.labels[positions].tolist(),
        predictions=predictions.tolist(),
    )


def _without_filters(masks: dict[str, Tensor], inputs: int) -> dict[str, int]:
    """How many inputs each layer selects no filter for; a warning names the layers."""
    counts = {name: int((~mask.any(1)).sum()) for name, mask in masks.items()}
    counts = {name: count for name, count in counts.items() if count}
    if counts:
        listed = [f"{name} for {count}" for name, count in list(counts.items())[:_NAMED]]
        more = f" and {len(counts) - _NAMED} more layers" if len(counts) > _NAMED else ""
        warnings.warn(
            f"no filter is selected in {', '.join(listed)} of {inputs} inputs{more}: the layer's output is zero there "
            "(paths.manifest['inputs_without_filters'] has all counts)",
            stacklevel=4,
        )
    return counts
