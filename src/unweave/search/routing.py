"""Routing from its settings to `Paths`: batch after batch, each kept in a run folder as it is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unweave.data.inputs import evenly_spread
from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, NumericError, RunError, SettingError
from unweave.network.capture import capture
from unweave.network.sites import Level, Sites
from unweave.paths import Paths, Rows
from unweave.progress import progress
from unweave.runs.folder import RunFolder
from unweave.runs.identity import check_same
from unweave.search.messages import warn_of_damage
from unweave.search.plan import fastest_rows_per_batch
from unweave.search.routing_cost import RoutingCost, estimate_routing
from unweave.search.routing_gates import Descent, by_site, find_routes
from unweave.search.routing_sites import routing_sites
from unweave.search.run import Run
from unweave.search.threads import torch_threads
from unweave.versions import versions


@dataclass(frozen=True)
class Division:
    """What the bytes of a result depend on besides what was asked for: inputs a batch, threads."""

    batch: int
    threads: int


@dataclass(frozen=True)
class Part:
    """What one batch gave: arrays with a row for each input that could be read, and those that could not, by position,
    with the reason."""

    arrays: dict[str, np.ndarray]
    damaged: dict[int, str]


class Routing(Run[Division]):
    """What `route` does. `sites=None`: by `routing_sites`. `batch=None`: as many inputs as run fastest. `limit`: at
    most so many, evenly spread."""

    method = "route"
    planned = ("plan", "batches")

    def __init__(
        self,
        network: nn.Module,
        images: LabelledImages,
        sites: Sites | Level | None,
        descent: Descent,
        *,
        batch: int | None = None,
        limit: int | None = None,
        device: str | torch.device | None = None,
        logits: str | int | None = None,
        folder: RunFolder | None = None,
        notes: dict[str, Any] | None = None,
        show_progress: bool | None = None,
    ) -> None:
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise SettingError(f"batch must be a whole number of at least 1, found {batch!r}")
        super().__init__(
            network,
            images,
            sites,
            device=device,
            logits=logits,
            folder=folder,
            notes=notes,
            show_progress=show_progress,
        )
        self.descent, self.batch, self.positions = descent, batch, evenly_spread(images, limit)

    def _wanted_sites(self) -> Sites | Level:
        if self.sites is not None:
            return self.sites
        example = self.images.images(np.repeat(self.images.intact(1), 2))
        return routing_sites(capture(self.network, example, self.logits), self.logits)

    def _new_plan(self) -> Division:
        return Division(self.batch or fastest_rows_per_batch(self.prepared, 1), torch.get_num_threads())

    def _recorded_plan(self, recorded: Any) -> Division:
        return Division(**{name: int(value) for name, value in recorded.items()})

    def _plan_record(self) -> dict[str, Any]:
        return asdict(self.plan)

    def _refuse_another_plan(self) -> None:
        if self.batch is not None and self.folder is not None:
            check_same(self.folder.root, {"batch": self.plan.batch}, {"batch": self.batch})

    def _asked(self) -> dict[str, Any]:
        return {**self.descent.record(), "method": self.method}

    def _fingerprints(self) -> dict[str, Any]:
        return {"routed": self.images.fingerprint(self.positions)}

    @cached_property
    def batches(self) -> list[np.ndarray]:
        """Positions of the inputs of each batch."""
        size = self.plan.batch
        return [self.positions[start : start + size] for start in range(0, len(self.positions), size)]

    def cost(self) -> RoutingCost:
        """What it will take, from a few steps on one batch."""
        sample = self.images.images(self.images.intact(min(self.plan.batch, len(self.positions))))
        with torch.inference_mode(False), torch.enable_grad(), torch_threads(self.plan.threads):
            return estimate_routing(self.prepared, self._placed(sample), len(self.positions), self.descent)

    def _find(self, folder: RunFolder | None) -> Paths:
        return self._to_paths(self._parts(folder))

    def _parts(self, folder: RunFolder | None) -> list[Part]:
        """What every batch gave, in order; those that `folder` has are not done again."""
        names = [f"route-{number:06d}" for number in range(len(self.batches))]
        parts: dict[str, Part] = {}
        with progress("routing", len(self.positions), self.show_progress) as advance:
            for name, batch in zip(names, self.batches, strict=True):
                if folder is not None and (saved := folder.checkpoints.load(name)) is not None:
                    parts[name] = _part_of(name, *saved)
                    advance(len(batch))
            waiting = {name: batch for name, batch in zip(names, self.batches, strict=True) if name not in parts}
            for name, part in zip(waiting, self._routed(list(waiting.values())), strict=True):
                if folder is not None:
                    folder.checkpoints.save(name, {"damaged": sorted(part.damaged.items())}, part.arrays)
                parts[name] = part
                advance(len(waiting[name]))
        return [parts[name] for name in names]

    def _routed(self, plan: list[np.ndarray]) -> Iterator[Part]:
        with torch_threads(self.plan.threads):
            for batch in self.images.batches(plan):
                damaged = {one.position: one.reason for one in batch.damaged}
                yield Part({"positions": batch.positions, **self._arrays(batch.images, batch.positions)}, damaged)

    def _arrays(self, images: Tensor | None, positions: np.ndarray) -> dict[str, np.ndarray]:
        if images is None:
            return {}
        if tuple(images.shape[1:]) != self.prepared.sites.image_shape:
            raise DataError(
                f"images {positions[0]} to {positions[-1]} have shape {tuple(images.shape[1:])}, "
                f"{self.prepared.sites.image_shape} is needed; resize and crop them to one size"
            )
        try:
            found = find_routes(self.prepared, self._placed(images), self.descent)
        except NumericError as error:
            raise NumericError(f"{error} (in images {positions[0]} to {positions[-1]})") from error
        return {name: table.cpu().numpy() for name, table in vars(found).items()}

    def _placed(self, images: Tensor) -> Tensor:
        moved = images.to(self.prepared.device)
        return moved.contiguous(memory_format=torch.channels_last) if moved.ndim == 4 else moved

    def _to_paths(self, parts: list[Part]) -> Paths:
        damaged = {position: why for part in parts for position, why in part.damaged.items()}
        warn_of_damage(damaged, len(self.positions))
        read = [part.arrays for part in parts if len(part.arrays["positions"])]
        found = {name: np.concatenate([arrays[name] for arrays in read]) for name in read[0]}
        positions, sites = found["positions"], self.prepared.sites
        names = [str(position) for position in positions]
        rows = Rows.of_inputs(
            len(positions),
            names=names,
            sources=names,
            labels=self.images.labels[positions].tolist(),
            predictions=found["predictions"].tolist(),
        )
        # Copies: a slice would keep all sites' gates alive with it.
        gates = [table.clone() for table in by_site(torch.from_numpy(found["gates"]), sites)]
        scores = dict(zip(sites.names, gates, strict=True))
        manifest = {
            "method": self.method,
            "network": self._network,
            "settings": {**self.descent.record(), "batch": self.plan.batch, "device": self.prepared.device.type},
            "all_gates_open": int((found["taken"] == 0).sum()),
            "masks_keep_prediction": float(found["masks_keep"].mean()),
            "mean_loss": float(found["losses"].mean(dtype=np.float64)),
            "damaged_images": len(damaged),
            "class_names": self.images.names_of([*rows.labels, *rows.predictions]),
            "data": self._data,
            "versions": versions(),
            "threads": self.plan.threads,
            **self.notes,
        }
        return Paths({name: gate > 0 for name, gate in scores.items()}, rows, sites, manifest, scores)


def _part_of(name: str, notes: dict[str, Any], arrays: dict[str, np.ndarray]) -> Part:
    try:
        return Part(arrays, {int(position): str(why) for position, why in notes["damaged"]})
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"what was kept of {name} is not of this run ({error}); give another folder") from error
