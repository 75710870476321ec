"""The planted bench: every method on networks whose class channels are known."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from unweave.errors import FewStepsWarning, PlantedError, RunError, SettingError
from unweave.network.fingerprint import fingerprint
from unweave.pipeline.kept_results import KeptResults
from unweave.pipeline.planted_methods import METHODS
from unweave.planted import Planted, plant, score_paths
from unweave.planted.architecture import KINDS, Kind
from unweave.planted.planting import RECIPE
from unweave.progress import progress
from unweave.tables import Table
from unweave.versions import versions
from unweave.whole_numbers import whole_number

_FIGURES = ("precision", "recall", "f1", "auroc", "kept", "seconds")
_LOWEST = ("lowest_auroc", "lowest_f1")
_MOST_REFUSED = 20


@dataclass(frozen=True)
class PlantedBench:
    """`runs`: one row a network and method; `table`: their means over networks; `networks`: what was planted;
    `refused`: seeds whose network was not fair to judge by, and why."""

    runs: Table
    table: Table
    networks: tuple[dict[str, Any], ...]
    refused: Table


def planted_bench(
    kinds: Sequence[Kind] = KINDS,
    classes: int = 10,
    accepted: int = 5,
    methods: Sequence[str] | None = None,
    *,
    first_seed: int = 0,
    work: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] | None = None,
    show_progress: bool | None = None,
) -> PlantedBench:
    """Plant networks of every kind, let every method search them, and score what was found.

    Parameters
    ----------
    accepted
        Networks of each kind. Seeds from `first_seed` on are tried until so many networks were fair to judge by; the
        others are in `refused`.
    methods
        Names of `METHODS`; default: all.
    first_seed
        The library's defaults were chosen with the networks of seeds 0 to 4 at hand; from 5 on they are new.
    work
        A folder in which every result is kept as soon as it is known, refusals too: the same call goes on with what it
        finds there, and calls with other kinds, methods or settings may share it.
    say
        Is given a line of text for every result as soon as it is known.

    Raises
    ------
    SettingError
        If a method or a kind is unknown, or `first_seed` is not a whole number from 0.
    PlantedError
        If 20 networks of a kind were refused before `accepted` ones were found.
    RunError
        If `work` cannot be used, or holds results of a network that is no longer made from the same seed.
    """
    chosen = list(METHODS) if methods is None else list(methods)
    if unknown := [name for name in chosen if name not in METHODS]:
        raise SettingError(f"no method {unknown[0]!r}; there are {', '.join(METHODS)}")
    if not chosen or not kinds or accepted < 1:
        raise SettingError("give at least one kind, one accepted network and one method")
    first_seed = whole_number("first_seed", first_seed, 0)
    say = say or (lambda line: None)
    rows: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    with progress("planted", len(kinds) * accepted * len(chosen), show_progress) as advance:
        for kind in kinds:
            for network in _accepted(kind, classes, first_seed, accepted, KeptResults(work), refused, say):
                networks.append(network.about)
                for name in chosen:
                    advance(0, f"{kind}, seed {network.seed}: {name}")
                    rows.append({"kind": kind, "seed": network.seed, "method": name, **network.judge(name)})
                    say(_line(rows[-1]))
                    advance(1)
    return PlantedBench(_runs(rows, classes), _means(rows, classes), tuple(networks), _refused(refused, classes))


def _accepted(
    kind: Kind,
    classes: int,
    first_seed: int,
    wanted: int,
    kept: KeptResults,
    refused: list[dict[str, Any]],
    say: Callable[[str], None],
) -> Iterator[_Network]:
    """The first `wanted` networks that are fair to judge by; the others are added to `refused`."""
    found = 0
    for tried, seed in enumerate(range(first_seed, first_seed + wanted + _MOST_REFUSED), start=1):
        network = _Network(kind, classes, seed, kept)
        if "refused" not in network.about:
            yield network
            found += 1
        else:
            refused.append({"kind": kind, "seed": seed, "reason": network.about["refused"]})
            say(f"{kind}, seed {seed}, is left out: {refused[-1]['reason']}")
        if found == wanted:
            return
        if tried - found == _MOST_REFUSED:
            raise PlantedError(
                f"{_MOST_REFUSED} {kind} networks of {classes} classes were refused and {found} accepted, the last "
                f"because {refused[-1]['reason']}"
            )


class _Network:
    """One planted network, made only where something is to be measured on it that is not kept yet."""

    def __init__(self, kind: Kind, classes: int, seed: int, kept: KeptResults) -> None:
        self.kind, self.classes, self.seed, self.kept = kind, classes, seed, kept
        self.part = f"{kind}-{classes}-classes-seed-{seed}"
        self.asked = {"kind": kind, "classes": classes, "seed": seed, "recipe": RECIPE, **versions()}

    @cached_property
    def planted(self) -> Planted:
        return plant(self.kind, self.classes, seed=self.seed)

    @cached_property
    def about(self) -> dict[str, Any]:
        """What is known about the network, or `{"refused": why}`."""
        return self.kept.get_or_make(self.part, "network", self.asked, self._about)

    def _about(self) -> dict[str, Any]:
        try:
            return _about(self.planted)
        except PlantedError as error:
            return {"refused": str(error)}

    def judge(self, method: str) -> dict[str, Any]:
        """What a method finds, and the seconds of its search."""
        asked = {**self.asked, "method": method, "settings": METHODS[method].asked}
        return self.kept.get_or_make(self.part, method, asked, lambda: self._run(method))

    def _run(self, method: str) -> dict[str, Any]:
        if (now := fingerprint(self.planted.network)["digest"]) != self.about["network"]:
            raise RunError(
                f"{self.kept.root} was begun with another {self.kind} network of seed {self.seed} (digest "
                f"{self.about['network']}, now {now}); give another work folder"
            )
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewStepsWarning)
            paths = METHODS[method].find(self.planted, self.seed)
        seconds = time.perf_counter() - started
        return {**score_paths(paths, self.planted.truth).summary, "seconds": seconds}


def _about(planted: Planted) -> dict[str, Any]:
    truth = planted.truth
    return {
        **planted.settings,
        "network": fingerprint(planted.network)["digest"],
        "top1": planted.top1,
        "activity": {name: asdict(found) for name, found in truth.activity.items()},
        "held_out_activity": {name: asdict(found) for name, found in truth.held_out_activity.items()},
        "planted": {name: int(mask.sum()) for name, mask in truth.paths.masks.items()},
        "judged": {name: int(mask.sum()) for name, mask in truth.judged.items()},
    }


def _line(row: Mapping[str, Any]) -> str:
    figures = "  ".join(f"{name} {row[name]:.3f}" for name in ("auroc", "f1", "precision", "recall", "kept"))
    return f"{row['kind']:<13}  seed {row['seed']:<3}  {row['method']:<38}  {figures}  {row['seconds']:.1f} s"


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
    columns: dict[str, list[Any]] = {name: [] for name in ("kind", "method", "networks", *_FIGURES, *_LOWEST)}
    for kind, method in keys:
        mine = [row for row in rows if (row["kind"], row["method"]) == (kind, method)]
        columns["kind"].append(kind)
        columns["method"].append(method)
        columns["networks"].append(len(mine))
        for name in _FIGURES:
            values = [row[name] for row in mine if not np.isnan(row[name])]
            columns[name].append(float(np.mean(values)) if values else float("nan"))
            if f"lowest_{name}" in _LOWEST:
                columns[f"lowest_{name}"].append(min(values, default=float("nan")))
    return Table(
        f"Planted channels found, {classes} classes, filter level, means over networks of different seeds",
        {name: tuple(values) for name, values in columns.items()},
        {**_MEANINGS, "networks": "how many", **dict.fromkeys(_LOWEST, "of the networks")},
    )


def _refused(rows: list[dict[str, Any]], classes: int) -> Table:
    return Table(
        f"Planted networks of {classes} classes that were not fair to judge by, and left out",
        {name: tuple(row[name] for row in rows) for name in ("kind", "seed", "reason")},
        {"seed": "of the generator", "reason": "the first check that the network failed"},
    )
