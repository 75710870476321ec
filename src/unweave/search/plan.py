"""The plan of a search: everything besides network, data and objective that the bytes of its result depend on."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from unweave.data.augmentation import AUGMENTATIONS
from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, SettingError
from unweave.search.preparation import Prepared
from unweave.search.reference import Store, available_memory, bytes_per_image

PRECISIONS = ("float32", "bfloat16")
_CPU_BATCH_BYTES = 6_000_000
_CUDA_BATCH_IMAGES = 512


@dataclass(frozen=True)
class Plan:
    """How a search goes through its images.

    Each of `classes` has its own row of scores, its own mini-batches of `batch` images in an order keyed by
    (seed, class, pass), and its own steps of length `rate`; `rows_per_batch` classes share one pass through the
    network. `classes_per_shard` classes are searched from the first pass to the last before the next ones begin (None:
    all together). `kept`: whether what the untouched network does on a shard's images is kept between its passes.

    Raises
    ------
    SettingError
        If a value cannot be used.
    """

    classes: tuple[int, ...]
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

    def __post_init__(self) -> None:
        for name in ("passes", "batch", "rows_per_batch", "classes_per_shard", "limit_per_class"):
            value = getattr(self, name)
            if value is not None and not (_is_whole(value) and value >= 1):
                raise SettingError(f"{name} must be a whole number from 1, found {value!r}")
        if not self.rate > 0:
            raise SettingError(f"rate must be above 0, found {self.rate!r}")
        if not (_is_whole(self.seed) and self.seed >= 0):
            raise SettingError(f"seed must be a whole number from 0, found {self.seed!r}")
        if self.augment not in AUGMENTATIONS:
            raise SettingError(f"no augmentation {self.augment!r}; there are {', '.join(AUGMENTATIONS)}")
        if self.precision not in PRECISIONS:
            raise SettingError(f"no precision {self.precision!r}; there are {', '.join(PRECISIONS)}")
        if self.kept and self.augment != "none":
            raise SettingError("keep_activations needs augment='none': augmented images differ from pass to pass")

    def shards(self) -> list[Plan]:
        """A plan for each group of classes that is searched together; rows do not see each other, so groups do not
        change the result."""
        size = self.classes_per_shard or len(self.classes)
        groups = [self.classes[start : start + size] for start in range(0, len(self.classes), size)]
        return [replace(self, classes=group, rows_per_batch=min(self.rows_per_batch, len(group))) for group in groups]

    def batches_per_pass(self, data: LabelledImages) -> int:
        """Batches of one pass, all shards together."""
        counts = [[len(p) for p in shard.images(data).values()] for shard in self.shards()]
        groups = [c[i : i + self.rows_per_batch] for c in counts for i in range(0, len(c), self.rows_per_batch)]
        return sum(-(-max(group) // self.batch) for group in groups)

    def images(self, data: LabelledImages) -> dict[int, np.ndarray]:
        """Positions of each class's images."""
        return {c: data.of_class(c, self.limit_per_class, self.seed) for c in self.classes}

    def store(self, data: LabelledImages) -> Store | None:
        """An empty store for the plan's images, if it keeps activations."""
        return Store(np.concatenate(list(self.images(data).values()))) if self.kept else None


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def make_plan(
    prepared: Prepared,
    data: LabelledImages,
    classes: Sequence[int] | None,
    *,
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
) -> Plan:
    """A checked plan; what is None is chosen for this network and machine.

    Raises
    ------
    SettingError
        If a value cannot be used.
    DataError
        If a class has no images, or labels do not fit the network's outputs.
    """
    chosen = _chosen_classes(data, classes, prepared.captured.classes)
    plan = Plan(
        classes=tuple(chosen),
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
    )
    if precision == "bfloat16" and prepared.dtype == torch.float64:
        raise SettingError("precision bfloat16 needs a float32 network")
    if augment != "none" and len(prepared.sites.image_shape) != 3:
        raise SettingError(f"augmentation needs images [channels, height, width], found {prepared.sites.image_shape}")
    together = _rows_per_batch(prepared, batch) if rows_per_batch is None else rows_per_batch
    plan = replace(plan, rows_per_batch=min(together, len(chosen)))
    may_keep = keep_activations is None and passes > 1 and augment == "none"
    if may_keep and (fitting := _classes_that_fit(prepared, data, plan)):
        wanted = min(fitting, classes_per_shard or len(chosen))
        return replace(plan, kept=True, classes_per_shard=wanted if wanted < len(chosen) else classes_per_shard)
    return plan


def _chosen_classes(images: LabelledImages, wanted: Sequence[int] | None, outputs: int) -> list[int]:
    present = images.classes
    if present[-1] >= outputs:
        raise DataError(
            f"the labels go up to {present[-1]}, the network has {outputs} class scores (0 to {outputs - 1})"
        )
    if wanted is None:
        return present
    chosen = sorted(int(c) for c in wanted)
    missing = sorted(set(chosen) - set(present))
    if missing:
        raise DataError(f"no images of class {', '.join(map(str, missing[:5]))}; there are images of {len(present)}")
    if len(set(chosen)) != len(chosen) or not chosen:
        raise SettingError("classes must name at least one class, each once")
    return chosen


def _rows_per_batch(prepared: Prepared, batch: int) -> int:
    """On a CPU, activations that stay in the cache beat big batches; a GPU wants many images at once, within memory."""
    itemsize = torch.empty(0, dtype=prepared.dtype).itemsize
    if prepared.device.type == "cpu":
        largest = max(int(np.prod(site.shape)) for site in prepared.sites) * itemsize * batch
        return max(1, _CPU_BATCH_BYTES // largest)
    one = bytes_per_image(prepared.sites, prepared.sites.image_shape, prepared.captured.classes, itemsize)
    # A site's value is there as reference, before and after the gate, with gradients, beside values between sites.
    fitting = available_memory(prepared.device) // (12 * one * batch)
    return max(1, min(_CUDA_BATCH_IMAGES // batch, fitting))


def _classes_that_fit(prepared: Prepared, data: LabelledImages, plan: Plan) -> int:
    """How many classes at once have activations that fit in memory; 0 if too few for it to be worth while."""
    itemsize = torch.empty(0, dtype=prepared.dtype).itemsize
    one = bytes_per_image(prepared.sites, prepared.sites.image_shape, prepared.captured.classes, itemsize)
    largest = max(len(positions) for positions in plan.images(data).values())
    fitting = min(int(available_memory(prepared.device) // (one * largest)), len(plan.classes))
    # A shard smaller than half a batch would run the network on fewer images than it runs fastest with.
    return fitting if 2 * fitting >= plan.rows_per_batch else 0
