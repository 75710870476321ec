"""The planted bench: every method on networks whose class channels are known."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unweave.data.labelled import labelled
from unweave.errors import FewStepsWarning, PlantedError, SettingError
from unweave.network.capture import capture
from unweave.network.tapping import Recorder, TappedNetwork
from unweave.paths import Paths, Rows
from unweave.planted import Planted, plant, score_paths
from unweave.planted.architecture import KINDS, Kind
from unweave.progress import progress
from unweave.search.attribute import attribute
from unweave.search.disentangle import disentangle
from unweave.tables import Table

_BETAS = (0.01, 0.1, 1.0, 10.0)
_THRESHOLD = 0.02
_FIGURES = ("precision", "recall", "f1", "auroc", "kept", "seconds")

Method = Callable[[Planted, int], Paths]


def _objective(name: str) -> Method:
    """A search with the objective's own beta, by the elbow where it has one: no method is told the size."""

    def search(planted: Planted, seed: int) -> Paths:
        return disentangle(
            planted.network,
            planted.search,
            planted.sites,
            name,
            seed=seed,
            elbow_limit_per_class=32,
            betas=_BETAS,
            show_progress=False,
        )

    return search


def _attribution(**question: Any) -> Method:
    def find(planted: Planted, seed: int) -> Paths:
        return attribute(
            planted.network,
            planted.search,
            planted.sites,
            threshold=_THRESHOLD,
            limit_per_class=50,
            seed=seed,
            show_progress=False,
            **question,
        )

    return find


def _default(planted: Planted, seed: int) -> Paths:
    return disentangle(planted.network, planted.search, planted.sites, seed=seed, show_progress=False)


def _random_start(planted: Planted, seed: int) -> Paths:
    return disentangle(
        planted.network, planted.search, planted.sites, "selective", start="random", seed=seed, show_progress=False
    )


def _activation(planted: Planted, seed: int) -> Paths:
    """Mean absolute activation on the class's images; masks keep the upper half of every site."""
    captured = capture(planted.network, planted.search.tensors[0][:2])
    recorder, labels = Recorder(), planted.search.tensors[1]
    with torch.no_grad():
        TappedNetwork(captured, planted.sites)(planted.search.tensors[0], recorder)
    means = [value.abs().mean((2, 3)) for value in recorder.values]
    classes = labelled(planted.search).classes
    scores = {
        site.name: torch.stack([mean[labels == c].mean(0) for c in classes])
        for site, mean in zip(planted.sites, means, strict=True)
    }
    masks = {name: table > table.median(1, keepdim=True).values for name, table in scores.items()}
    return Paths(masks, Rows.of_classes(classes), planted.sites, {"method": "mean activation"}, scores)


METHODS: dict[str, Method] = {
    "default": _default,
    "released": _objective("released"),
    "variational": _objective("variational"),
    "variational-noise": _objective("variational-noise"),
    "literal": _objective("literal"),
    "concept-path": _objective("concept-path"),
    "selective, random start": _random_start,
    "attribute": _attribution(),
    "attribute, one step": _attribution(steps=1),
    "attribute, unsigned": _attribution(signed=False),
    "attribute, logit": _attribution(of="logit"),
    "attribute, logit, unsigned": _attribution(of="logit", signed=False),
    "attribute, logit, unsigned, all images": _attribution(of="logit", signed=False, over="all"),
    "mean activation": _activation,
}
"""By name. None is told how many channels are planted."""


@dataclass(frozen=True)
class PlantedBench:
    """`runs`: one row a network and method; `table`: their means over seeds; `networks`: what was planted."""

    runs: Table
    table: Table
    networks: tuple[dict[str, Any], ...]


def planted_bench(
    kinds: Sequence[Kind] = KINDS,
    classes: int = 10,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    methods: Sequence[str] | None = None,
    *,
    show_progress: bool | None = None,
) -> PlantedBench:
    """Plant a network of every kind and seed, let every method search it, and score what was found.

    A seed whose network is not fair to judge by (`PlantedError`) is left out and warned of. `methods`: names of
    `METHODS`; default: all.

    Raises
    ------
    SettingError
        If a method or a kind is unknown.
    PlantedError
        If no network of a kind was fair to judge by.
    """
    chosen = list(METHODS) if methods is None else list(methods)
    if unknown := [name for name in chosen if name not in METHODS]:
        raise SettingError(f"no method {unknown[0]!r}; there are {', '.join(METHODS)}")
    if not chosen or not kinds or not seeds:
        raise SettingError("give at least one kind, one seed and one method")
    rows: list[dict[str, Any]] = []
    networks = []
    with progress("planted", len(kinds) * len(seeds) * len(chosen), show_progress) as advance:
        for kind in kinds:
            fair = 0
            for seed in seeds:
                try:
                    planted = plant(kind, classes, seed=seed)
                except PlantedError as error:
                    warnings.warn(f"{kind}, seed {seed}, is left out: {error}", stacklevel=2)
                    advance(len(chosen))
                    continue
                fair += 1
                networks.append(_about(planted))
                for name in chosen:
                    rows.append({"kind": kind, "seed": seed, "method": name, **_run(METHODS[name], planted, seed)})
                    advance(1, f"{kind}, seed {seed}: {name}")
            if not fair:
                raise PlantedError(f"none of the {kind} networks was fair to judge by; give other seeds")
    return PlantedBench(_runs(rows, classes), _means(rows, classes), tuple(networks))


def _run(method: Method, planted: Planted, seed: int) -> dict[str, float]:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewStepsWarning)
        paths = method(planted, seed)
    seconds = time.perf_counter() - started
    return {**score_paths(paths, planted.truth).summary, "seconds": seconds}  # type: ignore[dict-item]


def _about(planted: Planted) -> dict[str, Any]:
    truth = planted.truth
    return {
        **planted.settings,
        "top1": planted.top1,
        "auroc_of_mean_activation": truth.activity,
        "activity_of_distractors": truth.distractors,
        "planted": {name: int(mask.sum()) for name, mask in truth.paths.masks.items()},
        "judged": {name: int(mask.sum()) for name, mask in truth.judged.items()},
    }


_MEANINGS = {
    "precision": "share of the channels in the masks that are planted, mean over sites",
    "recall": "share of the planted channels that are in the masks, mean over sites",
    "f1": "of the masks, mean over sites",
    "auroc": "of the scores: all (row, channel) pairs of a site pooled, then the mean over sites",
    "kept": "share of all channels that the masks keep",
    "seconds": "of the search",
}


def _runs(rows: list[dict[str, Any]], classes: int) -> Table:
    return Table(
        f"Planted channels found, {classes} classes, filter level, one row a network and method",
        {name: tuple(row[name] for row in rows) for name in ("kind", "seed", "method", *_FIGURES)},
        _MEANINGS,
    )


def _means(rows: list[dict[str, Any]], classes: int) -> Table:
    keys = list(dict.fromkeys((row["kind"], row["method"]) for row in rows))
    columns: dict[str, list[Any]] = {name: [] for name in ("kind", "method", "networks", *_FIGURES, "lowest_auroc")}
    for kind, method in keys:
        mine = [row for row in rows if (row["kind"], row["method"]) == (kind, method)]
        columns["kind"].append(kind)
        columns["method"].append(method)
        columns["networks"].append(len(mine))
        for name in _FIGURES:
            values = [row[name] for row in mine if not np.isnan(row[name])]
            columns[name].append(float(np.mean(values)) if values else float("nan"))
        columns["lowest_auroc"].append(min(row["auroc"] for row in mine))
    return Table(
        f"Planted channels found, {classes} classes, filter level, means over networks of different seeds",
        {name: tuple(values) for name, values in columns.items()},
        {**_MEANINGS, "networks": "how many", "lowest_auroc": "of the networks"},
    )
