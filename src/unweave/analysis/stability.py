"""Whether a class gets the same channels from another seed, and whether that is more than it shares with others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.analysis.class_rows import class_rows
from unweave.errors import PathsError
from unweave.paths import Paths
from unweave.tables import Table

_LEVEL = 0.95
_DECISIVE = (
    *("passes", "rate", "augment", "limit_per_class", "others", "steps", "of", "over", "signed", "keep"),
    "precision",
)
"""Settings of searches and of attribution that decide what is found; others are the machine's, or are compared as
classes and objectives."""


@dataclass(frozen=True, eq=False)
class Stability:
    """`per_site`: a row a site. `classes`: a row a class, means over sites. The summary of `per_site` has means over
    sites, among them `self_similarity`, below which similarity between classes can be claimed."""

    per_site: Table
    classes: Table

    def to_frame(self) -> object:
        """The table of sites as a pandas frame."""
        return self.per_site.to_frame()


def stability(runs: Sequence[Paths]) -> Stability:
    """Similarity of a class to itself under other seeds, beside that to other classes under other seeds.

    With `J` the Jaccard similarity of two rows' channels at a site, and `c` in run `s` written `c_s`: `self_c = mean
    over pairs of runs s != t of J(c_s, c_t)`, `other_c = mean over s != t and classes d != c of J(c_s, d_t)`. Both
    compare different runs, so that they differ in nothing but the class. `margin = mean over classes of self_c -
    other_c`; its interval (95 %) is Student's, classes being the sample, of each site by itself: of forty sites where
    nothing tells classes apart, one is expected above 0. Similarity between classes says something only where the
    interval is above 0: elsewhere two classes differ no more than one class from itself.
    `expected_by_chance` is the `self_c` of independent random masks of the same sizes, `ab / (a + b - ab)` for shares
    `a`, `b` of the channels: a class that is told apart may still keep little more than chance from seed to seed.
    Source: `J` is that of ICCV Fig. 4, first row; comparing runs is not in the papers; the interval is that of Student
    (1908).

    Parameters
    ----------
    runs
        Paths of the same classes and sites of one network, found with different seeds (or on different images).

    Returns
    -------
    Stability
        `per_site`: `site`, `channels`, `self_similarity`, `self_lowest`, `self_highest` (of a class),
        `expected_by_chance`, `other_similarity`, `margin`, `margin_low`, `margin_high`, `told_apart` (whether
        `margin_low` is above 0; never for fewer than three classes, which have no interval). `classes`: `class`,
        `name`, `self_similarity`, `other_similarity`, `margin`, `nearest` (the most similar other class),
        `nearest_similarity`, means over sites.

    Raises
    ------
    PathsError
        With fewer than two runs or two classes, if runs differ in classes, sites, network, method, objective or in a
        setting that decides what is found, or if two are the same: the same seed and images, or the same scores.
    """
    _check(runs)
    first = runs[0]
    sites = [_Site.of([run.masks[name] for run in runs]) for name in first.sites.names]
    whole = _Site.from_pairs(
        np.mean([site.across for site in sites], 0), float(np.mean([site.chance for site in sites]))
    )
    return Stability(_per_site(runs, sites, whole), _classes(first, whole, len(runs)))


def _check(runs: Sequence[Paths]) -> None:
    if len(runs) < 2:
        raise PathsError(f"stability compares runs, there is {len(runs)}; give the paths of at least two seeds")
    first = runs[0]
    for number, run in enumerate(runs):
        class_rows(run, "stability")
        if (run.rows.members, run.rows.against) != (first.rows.members, first.rows.against):
            raise PathsError(f"run {number} is of other classes than run 0; search the same classes with each seed")
        if tuple(run.sites) != tuple(first.sites):
            raise PathsError(f"run {number} has other sites than run 0; search the same sites with each seed")
        if run.manifest.get("network") != first.manifest.get("network"):
            raise PathsError(f"run {number} is of another network than run 0")
        _check_searches(number, run, runs[:number])
    if len(first) < 2:
        raise PathsError(f"stability compares a class with others, there is {len(first)}")


def _check_searches(number: int, run: Paths, before: Sequence[Paths]) -> None:
    """Refuse what would look stable, or not, for another reason than the seed; paths that do not say how they were
    found are taken."""
    for earlier, other in enumerate(before):
        here, there = _decisive(run.manifest), _decisive(other.manifest)
        for key in here:
            if key in there and here[key] != there[key]:
                raise PathsError(
                    f"run {number} differs from run {earlier} in more than the seed: its {key} is {here[key]}, there "
                    f"it is {there[key]}"
                )
        if run.manifest.get("data") is not None and all(
            run.manifest.get(key) == other.manifest.get(key) for key in ("seed", "data")
        ):
            raise PathsError(
                f"run {number} was searched with seed {run.manifest.get('seed')} on the same images, as run {earlier} "
                "was; search again with another seed"
            )
        if _same_scores(run, other):
            raise PathsError(
                f"run {number} has the scores of run {earlier}, channel by channel: nothing that a seed decides "
                "entered them, as with attribution on all images; give a limit_per_class, so that each seed draws "
                "other images"
            )


def _decisive(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What decides, beside the seed, which channels are found, as far as it is told."""
    found = {key: manifest[key] for key in ("method", "objective") if key in manifest}
    if "method" in found:
        found["method"] = str(found["method"]).partition(" (")[0]  # of a control, the method names its seed
    settings, start = manifest.get("settings"), manifest.get("start")
    if isinstance(settings, Mapping):
        found |= {"precision": "float32"} | {key: settings[key] for key in _DECISIVE if key in settings}
    if isinstance(found.get("keep"), Mapping):
        del found["keep"]  # sizes of other paths, which seeds may decide
    if isinstance(start, Mapping):
        found["start"] = start.get("method")
    return found


def _same_scores(one: Paths, other: Paths) -> bool:
    if one.scores is None or other.scores is None:
        return False
    return all(torch.equal(scores, other.scores[name]) for name, scores in one.scores.items())


@dataclass(frozen=True, eq=False)
class _Site:
    """`across` `[rows, rows]`: the mean over pairs of different runs of the similarity of row i of one to row j of the
    other. `chance`: the similarity of a row to itself if masks were random. `interval`: of the margin; NaN for fewer
    than three rows."""

    across: np.ndarray
    chance: float
    own: np.ndarray
    other: np.ndarray
    interval: tuple[float, float]

    @classmethod
    def of(cls, masks: Sequence[Tensor]) -> _Site:
        pairs = list(itertools.combinations(masks, 2))
        across = np.mean([_between(a, b) for a, b in pairs], 0)
        chance = float(np.mean([_by_chance(a, b) for a, b in pairs]))
        return cls.from_pairs((across + across.T) / 2, chance)

    @classmethod
    def from_pairs(cls, across: np.ndarray, chance: float) -> _Site:
        own = np.diag(across).copy()
        other = (across.sum(1) - own) / (len(own) - 1)
        return cls(across, chance, own, other, _interval(own - other))

    @property
    def margin(self) -> float:
        return float((self.own - self.other).mean())


def _interval(margins: np.ndarray) -> tuple[float, float]:
    """Student's, of the mean. Percentiles of a bootstrap over so few classes are too narrow: independent random masks
    of three classes were told apart in 10 of 100 trials, where 2.5 are allowed; by this in 1.5."""
    if len(margins) < 3:
        return float("nan"), float("nan")
    from scipy.stats import t

    reach = t.ppf((1 + _LEVEL) / 2, len(margins) - 1) * margins.std(ddof=1) / np.sqrt(len(margins))
    return float(margins.mean() - reach), float(margins.mean() + reach)


def _between(first: Tensor, second: Tensor) -> np.ndarray:
    """`[rows, rows]`: Jaccard similarity of row i of `first` and row j of `second`; two empty sets have 1."""
    a, b = first.float(), second.float()
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1)[None, :] - both
    return np.asarray((both / either.clamp_min(1)).where(either > 0, 1.0).double().numpy())


def _by_chance(first: Tensor, second: Tensor) -> float:
    """What random masks of the sizes of row i of `first` and of `second` share, mean over rows."""
    a, b = first.double().mean(1), second.double().mean(1)
    either = a + b - a * b
    return float((a * b / either.clamp_min(1e-12)).where(either > 0, 1.0).mean())


def _per_site(runs: Sequence[Paths], sites: Sequence[_Site], whole: _Site) -> Table:
    told_apart = [site.interval[0] > 0 for site in sites]
    paths = runs[0]
    return Table(
        title=f"Similarity of {len(paths)} classes to themselves and to others in {len(runs)} runs",
        columns={
            "site": paths.sites.names,
            "channels": tuple(site.channels for site in paths.sites),
            "self_similarity": tuple(float(site.own.mean()) for site in sites),
            "self_lowest": tuple(float(site.own.min()) for site in sites),
            "self_highest": tuple(float(site.own.max()) for site in sites),
            "expected_by_chance": tuple(site.chance for site in sites),
            "other_similarity": tuple(float(site.other.mean()) for site in sites),
            "margin": tuple(site.margin for site in sites),
            "margin_low": tuple(site.interval[0] for site in sites),
            "margin_high": tuple(site.interval[1] for site in sites),
            "told_apart": tuple(told_apart),
        },
        meanings={
            "self_similarity": "Jaccard similarity of a class in one run to itself in another, mean over classes",
            "self_lowest": "of the class that changes most",
            "expected_by_chance": "self_similarity of random masks of the same sizes",
            "other_similarity": "of a class in one run to other classes in another",
            "margin": "self_similarity - other_similarity",
            "margin_low": "lower end of its interval, 95 %, Student's over classes",
            "told_apart": "whether the interval is above 0: classes differ more than one does from itself",
        },
        summary={
            "self_similarity": float(whole.own.mean()),
            "expected_by_chance": whole.chance,
            "other_similarity": float(whole.other.mean()),
            "margin": whole.margin,
            "margin_low": whole.interval[0],
            "margin_high": whole.interval[1],
            "sites_told_apart": sum(told_apart),
            "runs": len(runs),
        },
    )


def _classes(paths: Paths, whole: _Site, runs: int) -> Table:
    others = whole.across.copy()
    np.fill_diagonal(others, -1)
    nearest = others.argmax(1)
    return Table(
        title=f"Each of {len(paths)} classes in {runs} runs, mean over sites",
        columns={
            "class": paths.rows.classes,
            "name": paths.rows.names,
            "self_similarity": tuple(whole.own.tolist()),
            "other_similarity": tuple(whole.other.tolist()),
            "margin": tuple((whole.own - whole.other).tolist()),
            "nearest": tuple(paths.rows.names[row] for row in nearest),
            "nearest_similarity": tuple(others.max(1).tolist()),
        },
        meanings={
            "self_similarity": "of the class in one run to itself in another",
            "other_similarity": "of the class in one run to the others in another, mean",
            "nearest": "the most similar other class",
        },
        summary={"self_similarity": float(whole.own.mean()), "other_similarity": float(whole.other.mean())},
    )
