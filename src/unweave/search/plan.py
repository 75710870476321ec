"""The plan of a search: everything besides network, data and objective that the bytes of its result depend on."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch

from unweave.data.augmentation import AUGMENTATIONS
from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, SettingError
from unweave.network.precision import check_precision
from unweave.search.preparation import Prepared
from unweave.search.reference import Store, available_memory, bytes_per_image
from unweave.search.targets import Against, Group, Target, make_targets

_CPU_BATCH_BYTES = 6_000_000
_CUDA_BATCH_IMAGES = 512


@dataclass(frozen=True)
class Plan:
    """How a search goes through its images.

    Each of `targets` (a class, or a group of them) has its own row of scores, its own mini-batches of `batch` images in
    an order keyed by (seed, class, pass), and its own steps of length `rate`; `rows_per_batch` rows share one pass
    through the network. `classes_per_shard` rows are searched from the first pass to the last before the next ones
    begin (None: all together). `kept`: whether what the untouched network does on a shard's images is kept between its
    passes. `threads`: of the processor, None: as many as torch uses already. `others`: whether every mini-batch also
    holds as many images of other classes, in an order of the row's own. `start_batch`: images that share one pass
    of the attribution which each shard starts from, None where it starts from something else. `keep`: the share of all
    channels that each row keeps, None where the objective's penalty decides. `smaller`: for each task that ran out of
    memory how many rows share a pass instead; such a task keeps no activations.

    Raises
    ------
    SettingError
        If a value cannot be used.
    """

    targets: tuple[Target, ...]
    seed: int = 0
    passes: int = 20
    rate: float = 0.1
    batch: int = 16
    rows_per_batch: int = 1
    classes_per_shard: int | None = None
    augment: str = "none"
    precision: str = "float32"
    kept: bool = False
    limit_per_class: int | None = None
    threads: int | None = None
    others: bool = False
    start_batch: int | None = None
    keep: float | None = None
    smaller: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        counts = ("passes", "batch", "rows_per_batch", "classes_per_shard", "limit_per_class", "threads", "start_batch")
        for name in counts:
            value = getattr(self, name)
            if value is not None and not (_is_whole(value) and value >= 1):
                raise SettingError(f"{name} must be a whole number from 1, found {value!r}")
        if self.keep is not None and not (_is_real(self.keep) and 0 < self.keep < 1):
            raise SettingError(f"keep must be a share between 0 and 1, found {self.keep!r}")
        if not self.rate > 0:
            raise SettingError(f"rate must be above 0, found {self.rate!r}")
        if not (_is_whole(self.seed) and self.seed >= 0):
            raise SettingError(f"seed must be a whole number from 0, found {self.seed!r}")
        if self.augment not in AUGMENTATIONS:
            raise SettingError(f"no augmentation {self.augment!r}; there are {', '.join(AUGMENTATIONS)}")
        if self.kept and self.augment != "none":
            raise SettingError("keep_activations needs augment='none': augmented images differ from pass to pass")

    @classmethod
    def of_classes(cls, classes: Sequence[int], **settings: Any) -> Plan:
        """A plan with a row for each of `classes`."""
        return cls(tuple(Target((int(c),)) for c in classes), **settings)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Plan:
        """Back from `record`.

        Raises
        ------
        TypeError, KeyError, SettingError
            If it is not a plan's record.
        """
        targets = tuple(Target(tuple(t["members"]), tuple(t["against"]), t["name"]) for t in record["targets"])
        return cls(**{**record, "targets": targets, "smaller": dict(record.get("smaller", {}))})

    def record(self) -> dict[str, Any]:
        """Plain values, for a run folder."""
        targets = [{"members": list(t.members), "against": list(t.against), "name": t.name} for t in self.targets]
        found = {**{f.name: getattr(self, f.name) for f in fields(self)}, "targets": targets}
        if not self.smaller:
            del found["smaller"]
        return found

    def settings(self) -> dict[str, Any]:
        """Plain values, for the manifest: `classes` are those searched, `groups` and `against` the rows' by name."""
        found = self.record()
        del found["targets"], found["threads"], found["start_batch"]
        found["classes"] = sorted({c for target in self.targets for c in target.members})
        found["groups"] = {target.name: list(target.members) for target in self.targets if target.name}
        found["against"] = [list(target.against) for target in self.targets]
        return found

    def shards(self) -> list[Plan]:
        """A plan for each part of the rows that is searched together; rows do not see each other, so the parts do not
        change the result."""
        size = self.classes_per_shard or len(self.targets)
        parts = [self.targets[start : start + size] for start in range(0, len(self.targets), size)]
        return [replace(self, targets=part, rows_per_batch=min(self.rows_per_batch, len(part))) for part in parts]

    def of_task(self, name: str, shard: Plan) -> Plan:
        """How the task `name` searches `shard`, a part of this plan."""
        if name not in self.smaller:
            return replace(shard, smaller={})
        start = None if shard.start_batch is None else max(1, shard.start_batch // 2)
        return replace(shard, smaller={}, rows_per_batch=self.smaller[name], start_batch=start, kept=False)

    def batches(self, data: LabelledImages) -> int:
        """All batches: those of the attribution that it starts from, then those of all passes."""
        return self.start_batches(data) + self.passes * self.batches_per_pass(data)

    def start_batches(self, data: LabelledImages) -> int:
        """Batches of the attribution that it starts from, if it does, all shards together."""
        if self.start_batch is None:
            return 0
        return sum(-(-len(shard.own_positions(data)) // self.start_batch) for shard in self.shards())

    def batches_per_pass(self, data: LabelledImages) -> int:
        """Batches of one pass, all shards together."""
        counts = [[len(p) for p in shard.images(data)] for shard in self.shards()]
        groups = [c[i : i + self.rows_per_batch] for c in counts for i in range(0, len(c), self.rows_per_batch)]
        return sum(-(-max(group) // self.batch) for group in groups)

    def images(self, data: LabelledImages) -> list[np.ndarray]:
        """Positions of each row's images."""
        return [
            np.concatenate([data.of_class(c, self.limit_per_class, self.seed) for c in target.members])
            for target in self.targets
        ]

    def foreign_classes(self, data: LabelledImages) -> list[list[int]]:
        """Other classes of which each row sees images, ascending: its opponents, where it has any; none, where the plan
        shows no others.

        Raises
        ------
        DataError
            If it does, and a row has none.
        """
        if not self.others:
            return [[] for _ in self.targets]
        present, found = set(data.classes), []
        for target in self.targets:
            foreign = (present & set(target.against) if target.against else present) - set(target.members)
            if not foreign:
                raise DataError(
                    f"there are no images of other classes to tell {target.name or target.members[0]} from; give such "
                    "images, or an objective that needs none (objective='released')"
                )
            found.append(sorted(foreign))
        return found

    def own_positions(self, data: LabelledImages) -> np.ndarray:
        """Positions of all images of the rows' own classes, ascending."""
        return self._positions_of(data, {c for target in self.targets for c in target.members})

    def positions(self, data: LabelledImages) -> np.ndarray:
        """Positions of all images of the search, ascending."""
        shown = {c for target in self.targets for c in target.members}
        return self._positions_of(data, shown.union(*self.foreign_classes(data)))

    def _positions_of(self, data: LabelledImages, classes: Iterable[int]) -> np.ndarray:
        return np.sort(np.concatenate([data.of_class(c, self.limit_per_class, self.seed) for c in classes]))

    def store(self, data: LabelledImages) -> Store | None:
        """An empty store for the plan's images, if it keeps activations."""
        return Store(self.positions(data)) if self.kept else None


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def make_plan(
    prepared: Prepared,
    data: LabelledImages,
    classes: Sequence[int] | None,
    *,
    groups: Mapping[str, Group] | None = None,
    against: Against | None = None,
    seed: int,
    passes: int,
    rate: float,
    batch: int,
    augment: str,
    precision: str,
    limit_per_class: int | None,
    rows_per_batch: int | None,
    keep_activations: bool | None,
    classes_per_shard: int | None = None,
    threads: int | None = None,
    workers: int = 1,
    others: bool = False,
    attributed: bool = False,
    reads_activations: bool = True,
    keep: float | None = None,
) -> Plan:
    """A checked plan; what is None is chosen for this network and machine, of which each of `workers` has its share.

    Raises
    ------
    SettingError
        If a value cannot be used.
    DataError
        If a class has no images, or labels do not fit the network's outputs.
    """
    targets = make_targets(data, prepared.captured.classes, classes, groups, against)
    plan = Plan(
        targets=targets,
        seed=seed,
        passes=passes,
        rate=float(rate),
        batch=batch,
        rows_per_batch=1 if rows_per_batch is None else rows_per_batch,
        classes_per_shard=classes_per_shard,
        augment=augment,
        precision=precision,
        kept=bool(keep_activations),
        limit_per_class=limit_per_class,
        threads=max(1, torch.get_num_threads() // workers) if threads is None else threads,
        others=others,
        start_batch=fastest_rows_per_batch(prepared, 1) if attributed and keep is None else None,
        keep=float(keep) if keep is not None and _is_real(keep) else keep,
    )
    check_precision(precision, prepared.dtype)
    if augment != "none" and len(prepared.sites.image_shape) != 3:
        raise SettingError(f"augmentation needs images [channels, height, width], found {prepared.sites.image_shape}")
    together = fastest_rows_per_batch(prepared, batch * (1 + others)) if rows_per_batch is None else rows_per_batch
    if workers > 1 and classes_per_shard is None:
        plan = replace(plan, classes_per_shard=-(-len(targets) // workers))
    plan = replace(plan, rows_per_batch=min(together, len(targets)))
    may_keep = keep_activations is None and passes > 1 and augment == "none"
    if may_keep and not reads_activations:
        return replace(plan, kept=_scores_fit(prepared, data, plan, workers))
    if may_keep and (fitting := _rows_that_fit(prepared, data, plan, workers)):
        return replace(_at_most(plan, fitting), kept=True)
    if images_are_remembered(plan, data) and not others:
        return _at_most(plan, _rows_whose_pictures_fit(prepared, data, plan, workers))
    return plan


def _at_most(plan: Plan, rows: int) -> Plan:
    """The plan in shards of at most so many rows, of whole batches where that is possible; as it is, where no more than
    that are searched together already, or none fit."""
    whole = rows - rows % plan.rows_per_batch or rows
    together = plan.classes_per_shard or len(plan.targets)
    return replace(plan, classes_per_shard=whole) if 0 < whole < together else plan


def images_are_remembered(plan: Plan, data: LabelledImages) -> bool:
    """Whether pictures are kept between passes, as pixels, once they are read: where activations are not."""
    return plan.passes > 1 and not plan.kept and data.are_pictures


def fastest_rows_per_batch(prepared: Prepared, batch: int) -> int:
    """On a CPU, activations that stay in the cache beat big batches; a GPU wants many images at once, within memory."""
    itemsize = torch.empty(0, dtype=prepared.dtype).itemsize
    if prepared.device.type == "cpu":
        largest = max(int(np.prod(site.shape)) for site in prepared.sites) * itemsize * batch
        return max(1, _CPU_BATCH_BYTES // largest)
    # A site's value is there as reference, before and after the gate, with gradients, beside values between sites.
    fitting = available_memory(prepared.device) // (12 * bytes_kept_per_image(prepared) * batch)
    return max(1, min(_CUDA_BATCH_IMAGES // batch, fitting))


def _rows_that_fit(prepared: Prepared, data: LabelledImages, plan: Plan, workers: int) -> int:
    """How many rows at once have activations that fit in memory; 0 if too few for it to be worth while."""
    largest = max(len(positions) for positions in plan.images(data))
    room = available_memory(prepared.device) // workers
    fitting = min(int(room // (bytes_kept_per_image(prepared) * largest)), len(plan.targets))
    return _worth_while(fitting, plan)


def _worth_while(rows: int, plan: Plan) -> int:
    """A shard smaller than half a batch would run the network on fewer images than it runs fastest with."""
    return rows if 2 * rows >= plan.rows_per_batch else 0


def _rows_whose_pictures_fit(prepared: Prepared, data: LabelledImages, plan: Plan, workers: int) -> int:
    """How many rows at once have images that fit in memory as pixels, a byte each."""
    largest = max(len(positions) for positions in plan.images(data))
    room = available_memory(torch.device("cpu")) // workers
    return _worth_while(int(room // (int(np.prod(prepared.sites.image_shape)) * largest)), plan)


def _scores_fit(prepared: Prepared, data: LabelledImages, plan: Plan, workers: int) -> bool:
    """Whether all images and their class scores, which is all that is kept, fit in memory."""
    each = bytes_kept_per_image(prepared, activations=False)
    return each * len(plan.positions(data)) * workers < available_memory(prepared.device)


def bytes_kept_per_image(prepared: Prepared, *, activations: bool = True) -> int:
    """Memory that what is kept of one image takes: itself, its class scores, and its `activations`."""
    itemsize = torch.empty(0, dtype=prepared.dtype).itemsize
    return bytes_per_image(
        prepared.sites if activations else (), prepared.sites.image_shape, prepared.captured.classes, itemsize
    )
