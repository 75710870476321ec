"""The methods that `studies` compares, each a search or an attribution that is kept in a run folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Subset

import unweave as uw
from benchmarks.common import user_networks
from benchmarks.images import compressed_tests, data_of
from unweave.data.labelled import LabelledImages, labelled
from unweave.files import write_text
from unweave.paths import Paths
from unweave.runs.folder import RunFolder

FAST_SHARE = 0.4
"""Of the images: what attribute-fast looks at."""
_KEPT_BYTES = 2_200_000_000
"""What activations kept between passes may take: less than half of what a process may."""


@dataclass(frozen=True)
class Study:
    """One network, and what its searches share."""

    name: str
    work: Path
    limit: int
    passes: int
    rate: float
    beta: float | str
    measure_limit: int | None = None
    precision: str = "float32"

    @cached_property
    def network(self) -> Any:
        return getattr(user_networks(), self.name)()

    @cached_property
    def images(self) -> tuple[LabelledImages, LabelledImages]:
        """(to search on, to measure on: at most `measure_limit` of each class, the first ones)"""
        search, measure = data_of(self.name)
        if self.measure_limit is not None:
            first = np.concatenate([np.flatnonzero(measure.labels == c)[: self.measure_limit] for c in measure.classes])
            measure = labelled(Subset(measure.dataset, np.sort(first).tolist()))
        return search, measure

    @cached_property
    def compressed(self) -> LabelledImages | None:
        return compressed_tests(self.name)

    @cached_property
    def classes_per_shard(self) -> int:
        example = self.images[0].images(self.images[0].intact(2))
        floats = sum(math.prod(site.shape) for site in uw.find_sites(self.network, example))
        return int(np.clip(_KEPT_BYTES // (4 * floats * self.limit), 1, 10))

    def folder(self, method: str, seed: int) -> RunFolder:
        return RunFolder(self.work / self.name / method / f"seed{seed}")

    def disentangle(self, method: str, seed: int, objective: str, **settings: Any) -> Paths:
        folder = self.folder(method, seed)
        own = {} if objective == "selective" else {"classes_per_shard": self.classes_per_shard, "rate": self.rate}
        return timed(
            folder,
            lambda: uw.disentangle(
                self.network,
                self.images[0],
                objective=objective,
                limit_per_class=self.limit,
                passes=self.passes,
                precision=self.precision,
                seed=seed,
                run=folder.root,
                **own,
                **settings,
            ),
        )

    def attribute(self, folder: RunFolder, seed: int, limit: int, **settings: Any) -> Paths:
        return timed(
            folder,
            lambda: uw.attribute(
                self.network,
                self.images[0],
                steps=8,
                limit_per_class=limit,
                precision=self.precision,
                seed=seed,
                run=folder.root,
                **settings,
            ),
        )


def timed(folder: RunFolder, find: Callable[[], Paths]) -> Paths:
    """What `find` gives; how long it took is written beside, the first time. Processor seconds are the ones to compare
    on a machine with other work on it."""
    finished, resumed = folder.finished, folder.begun
    wall, processor = time.perf_counter(), time.process_time()
    paths = find()
    if not finished:
        seconds = {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - processor}
        write_text(folder.root / "seconds.json", json.dumps({**seconds, "resumed": resumed}))
    return paths


def _released(study: Study, seed: int) -> Paths:
    return study.disentangle("released", seed, "released", beta=study.beta)


def _variational(study: Study, seed: int) -> Paths:
    return study.disentangle("variational", seed, "variational", beta=study.beta)


def _concept_path(study: Study, seed: int) -> Paths:
    """Its default is the elbow; seeds after the first take the beta that the first one found, so that they differ in
    nothing but the seed."""
    first = study.work / study.name / "concept-path" / "beta.json"
    beta = json.loads(first.read_text())["beta"] if first.is_file() else None
    own = {"beta": "elbow"} if beta is None or beta["seed"] == seed else {"beta": beta["value"]}
    paths = study.disentangle("concept-path", seed, "concept-path", **own)
    if beta is None:
        found = {"seed": seed, "value": paths.manifest["objective"]["beta"]}
        write_text(first, json.dumps({"beta": found}))
    return paths


def _selective(study: Study, seed: int) -> Paths:
    return study.disentangle("selective", seed, "selective")  # nothing given: the library's default


def _selective_random(study: Study, seed: int) -> Paths:
    return study.disentangle("selective-random", seed, "selective", start="random")


def _attribute(study: Study, seed: int) -> Paths:
    return study.attribute(study.folder("attribute", seed), seed, study.limit, keep=_released(study, seed))


def _attribute_fast(study: Study, seed: int) -> Paths:
    few = max(1, round(FAST_SHARE * study.limit))
    return study.attribute(study.folder("attribute-fast", seed), seed, few, keep=_released(study, seed))


def _random(study: Study, seed: int) -> Paths:
    """Masks of released's sizes; other draws than those that specificity takes for its controls."""
    folder = study.folder("random", seed)
    if not folder.finished:
        drawn = _released(study, seed).random_control(1000 + seed)
        folder.root.mkdir(parents=True, exist_ok=True)
        drawn.save(folder.paths_file)
    return Paths.load(folder.paths_file)


METHODS: dict[str, Callable[[Study, int], Paths]] = {
    "released": _released,
    "variational": _variational,
    "concept-path": _concept_path,
    "selective": _selective,
    "selective-random": _selective_random,
    "attribute": _attribute,
    "attribute-fast": _attribute_fast,
    "random": _random,
}
