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
from unweave.network.fingerprint import check_fingerprint, fingerprint
from unweave.network.sites import Level, Sites
from unweave.paths import Paths, Rows
from unweave.progress import progress
from unweave.runs.folder import RunFolder
from unweave.runs.identity import check_images, check_same
from unweave.search.messages import warn_of_damage
from unweave.search.plan import fastest_rows_per_batch
from unweave.search.preparation import Prepared, prepare
from unweave.search.routing_cost import RoutingCost, estimate_routing
from unweave.search.routing_gates import Descent, by_site, find_routes
from unweave.search.routing_sites import routing_sites
from unweave.search.search import METHOD as DISENTANGLE
from unweave.search.tasks import torch_threads
from unweave.versions import versions

METHOD = "route"
_RECORDED = ("asked", "network", "data", "plan")
"""What a run's record must hold to be gone on with."""


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


class Routing:
    """What `route` does, in steps that can be looked at before they are taken.

    `sites=None`: by `routing_sites`. `batch=None`: as many inputs as run fastest. `limit`: at most so many, evenly
    spread. `folder`: where it is kept, if anywhere; routing that was begun there is gone on with. `notes` go into the
    manifest.
    """

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
        self.network, self.images, self.sites, self.descent = network, images, sites, descent
        self.batch, self.device, self.logits, self.notes = batch, device, logits, notes or {}
        self.folder, self.show_progress = folder, show_progress
        self.positions = evenly_spread(images, limit)
        self._begun = folder.read_record() if folder is not None else None

    @property
    def begun(self) -> bool:
        """Whether the folder holds routing that was begun before."""
        return self._begun is not None

    @property
    def finished(self) -> bool:
        """Whether the folder holds this routing's result.

        Raises
        ------
        RunError
            If the folder holds something else.
        """
        self._refuse_another()
        return self.folder is not None and self.folder.finished

    @cached_property
    def prepared(self) -> Prepared:
        """The network made ready."""
        sites = self.sites
        if sites is None:
            example = self.images.images(np.repeat(self.images.intact(1), 2))
            sites = routing_sites(capture(self.network, example, self.logits), self.logits)
        return prepare(self.network, self.images, sites, self.device, self.logits)

    @cached_property
    def division(self) -> Division:
        """The division that the run folder's routing was begun with, or a new one."""
        if self._begun is not None:
            try:
                return Division(**{name: int(value) for name, value in self._begun["plan"].items()})
            except (TypeError, KeyError, ValueError, AttributeError) as error:
                assert self.folder is not None
                raise RunError(f"{self.folder.record_file} is damaged ({error}); give another folder") from error
        return Division(self.batch or fastest_rows_per_batch(self.prepared, 1), torch.get_num_threads())

    @cached_property
    def batches(self) -> list[np.ndarray]:
        """Positions of the inputs of each batch."""
        size = self.division.batch
        return [self.positions[start : start + size] for start in range(0, len(self.positions), size)]

    @cached_property
    def _network(self) -> dict[str, Any]:
        return fingerprint(self.network)

    @cached_property
    def _data(self) -> dict[str, Any]:
        return {"routed": self.images.fingerprint(self.positions)}

    def cost(self) -> RoutingCost:
        """What it will take, from a few steps on one batch."""
        sample = self.images.images(self.images.intact(min(self.division.batch, len(self.positions))))
        with torch.inference_mode(False), torch.enable_grad(), torch_threads(self.division.threads):
            return estimate_routing(self.prepared, self._placed(sample), len(self.positions), self.descent)

    def run(self) -> Paths:
        """Route, or go on with what was begun; a finished run's paths are read."""
        with torch.inference_mode(False), torch.enable_grad():
            if self.folder is None:
                return self._to_paths(self._parts(None))
            self._refuse_another()
            if self.folder.finished:
                self.folder.remove_shards()  # of a process that was killed after its last write
                return Paths.load(self.folder.paths_file)
            record = self._record()
            with self.folder.opened():
                return self._in_folder(self.folder, record)

    def _in_folder(self, folder: RunFolder, record: dict[str, Any]) -> Paths:
        if self._begun is None and (other := folder.read_record()) is not None:
            self._begun = other  # begun by another process since
            for name in ("division", "batches"):
                self.__dict__.pop(name, None)
            self._refuse_another()
        if self._begun is None:
            folder.begin(record)
        folder.journal.append("resumed" if self._begun is not None else "begun")
        found = self._to_paths(self._parts(folder))
        found.save(folder.paths_file)
        folder.finish()
        return found

    def _record(self) -> dict[str, Any]:
        """What tells this routing from others, and its division."""
        sites = self.sites if isinstance(self.sites, str) else list(self.prepared.sites.names)
        return {
            "asked": {
                **self.descent.record(),
                "method": METHOD,
                "sites": sites,
                "logits": self.logits,
                "notes": self.notes,
            },
            "network": self._network,
            "data": self._data,
            "device": self.prepared.device.type,
            "versions": versions(),
            "plan": asdict(self.division),
        }

    def _refuse_another(self) -> None:
        """Refuse a folder that was begun with another method, network, other images or other settings."""
        if self._begun is None or self.folder is None:
            return
        record, where = self._begun, self.folder.root
        missing = [part for part in _RECORDED if not isinstance(record.get(part), dict)]
        if missing:
            raise RunError(f"{self.folder.record_file} is damaged (no {missing[0]}); give another folder")
        # First, because no setting of another method compares with one of this.
        check_same(where, {"method": record["asked"].get("method", DISENTANGLE)}, {"method": METHOD})
        given = self._record()
        check_same(where, record["asked"], given["asked"])
        check_fingerprint(given["network"], record["network"], f"the run in {where} was begun with")
        check_images(where, "routed", record["data"].get("routed"), given["data"]["routed"])
        if self.batch is not None:
            check_same(where, {"batch": self.division.batch}, {"batch": self.batch})
        if not self.folder.finished:
            compared = ("device", "versions")
            check_same(where, {name: record.get(name) for name in compared}, {name: given[name] for name in compared})

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
        with torch_threads(self.division.threads):
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
            "method": METHOD,
            "network": self._network,
            "settings": {**self.descent.record(), "batch": self.division.batch, "device": self.prepared.device.type},
            "all_gates_open": int((found["taken"] == 0).sum()),
            "masks_keep_prediction": float(found["masks_keep"].mean()),
            "mean_loss": float(found["losses"].mean(dtype=np.float64)),
            "damaged_images": len(damaged),
            "data": self._data,
            "versions": versions(),
            "threads": self.division.threads,
            **self.notes,
        }
        return Paths({name: gate > 0 for name, gate in scores.items()}, rows, sites, manifest, scores)


def _part_of(name: str, notes: dict[str, Any], arrays: dict[str, np.ndarray]) -> Part:
    try:
        return Part(arrays, {int(position): str(why) for position, why in notes["damaged"]})
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"what was kept of {name} is not of this run ({error}); give another folder") from error
