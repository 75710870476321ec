"""The papers' statements on connections, one by one, and what trained twins say to each.

Each statement becomes one number a training seed, positive if it is as the papers say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

OBJECTIVES = ("released", "selective")
_ROUNDING = 1e-6
"""Values this near 0 are 0."""

Networks = Mapping[str, Mapping[str, Any]]
"""Of one training seed and objective: kind: measures, mean over seeds of the search; hit rates of each."""


@dataclass(frozen=True)
class Statement:
    """`source` and `said`, in our words; `tested`: what `value` computes, which is above 0 if it is so."""

    source: str
    said: str
    tested: str
    value: Callable[[Networks], float]


def mean_of(searches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Measures of several searches of a network, averaged number by number."""
    first = searches[0]
    found: dict[str, Any] = {}
    for name, value in first.items():
        if isinstance(value, Mapping):
            found[name] = mean_of([one[name] for one in searches])
        elif name == "sites":
            found[name] = value
        elif name == "hit_rate":
            found[name] = [one[name] for one in searches]
        else:
            found[name] = np.mean([one[name] for one in searches], axis=0)
    return found


def score(first: str, second: str, masks: str) -> Callable[[Networks], float]:
    """How much higher the interpretability score of `first` is, in thousandths."""
    return lambda of: 1000 * float(of[first][masks]["score"] - of[second][masks]["score"])


def varied(first: str, second: str) -> Callable[[Networks], float]:
    """How much higher the score of `first` would be if every class were recognised always, in thousandths."""
    name = "variance_of_similarities"
    return lambda of: 1000 * float(of[first][name]["half"] - of[second][name]["half"])


def used(first: str, second: str) -> Callable[[Networks], float]:
    """How much higher the share of channels kept is in `first`, mean over sites."""
    return lambda of: float(np.mean(of[first]["usage"]) - np.mean(of[second]["usage"]))


def falls(kind: str, measure: str) -> Callable[[Networks], float]:
    """How much higher `measure` is at the first third of the sites than at the last."""

    def value(of: Networks) -> float:
        values = np.asarray(of[kind][measure])
        third = max(1, len(values) // 3)
        return float(values[:third].mean() - values[-third:].mean())

    return value


def alike(first: str, second: str, measure: str) -> Callable[[Networks], float]:
    """How much higher the similarity between classes is in `first`, mean over sites."""
    return lambda of: float(np.mean(of[first][measure]) - np.mean(of[second][measure]))


def best_of(measures: Mapping[str, Any], sites: slice) -> float:
    """The hit rate of each search at the site, among `sites`, that is best in the other searches and their mosaics;
    mean over searches."""
    rates = np.asarray(measures["hit_rate"])[:, sites]
    chosen = [np.delete(rates, search, 0).mean(0).argmax() for search in range(len(rates))]
    return float(np.mean([own[site] for own, site in zip(rates, chosen, strict=True)]))


def early(kind: str) -> Callable[[Networks], float]:
    """How much higher the hit rate is at the best site before the last one than at the last."""
    return lambda of: best_of(of[kind], slice(None, -1)) - best_of(of[kind], slice(-1, None))


def earlier_than(kind: str, other: str) -> Callable[[Networks], float]:
    """The same, of one kind above another."""
    return lambda of: early(kind)(of) - early(other)(of)


def late(kind: str) -> Callable[[Networks], float]:
    """How much higher the hit rate is at the better of the last two sites than at the best of the others."""
    return lambda of: best_of(of[kind], slice(-2, None)) - best_of(of[kind], slice(None, -2))


def best_hit(first: str, second: str) -> Callable[[Networks], float]:
    """How much higher the hit rate of `first` is, each at its best site."""
    return lambda of: best_of(of[first], slice(None)) - best_of(of[second], slice(None))


def grouped(first: str, second: str) -> Callable[[Networks], float]:
    """How much better the tree of `first` agrees with animals and vehicles."""
    name = "groups and tree, cophenetic correlation"
    return lambda of: float(of[first]["agreement"][name] - of[second]["agreement"][name])


_ADDS = "The residual operation lowers interpretability (adding entangles what concatenating keeps apart)"
_APART = "Concatenation encourages interpretability, against the residual operation"
_PLAIN = "The network without skip connections is the most interpretable"
_EARLY = "With plain skip connections disentanglement ends before the last layer"
_SECTION = "preprint section 5.4, Fig. 6"
_ICCV = "ICCV section 4.2.2, Fig. 4"

_COMPARED = ((_ADDS, "plain", "residual"), (_APART, "dense", "residual"), (_PLAIN, "plain", "dense"))

STATEMENTS = (
    *(
        Statement(_SECTION, said, f"{what}, {first} - {second} (thousandths)", value(first, second))
        for said, first, second in _COMPARED
        for what, value in (
            ("score", partial(score, masks="as_found")),
            ("score with half of every site kept", partial(score, masks="half")),
            ("variance of similarities with half of every site kept", varied),
        )
    ),
    Statement(
        "preprint section 5.4, Fig. 7",
        "Clusters of classes fit people's groups best in the plain network, worst in the residual one",
        "agreement with animals and vehicles, plain - residual",
        grouped("plain", "residual"),
    ),
    Statement(
        "preprint section 5.3, Fig. 4",
        "Usage falls from the plain network to the dense one",
        "usage, plain - dense",
        used("plain", "dense"),
    ),
    Statement(
        "preprint section 5.3, Fig. 4",
        "Usage falls from the dense network to the residual one",
        "usage, dense - residual",
        used("dense", "residual"),
    ),
    *(
        Statement(
            "preprint section 5.3, Fig. 4",
            "In every network usage falls from bottom to top",
            f"usage, {kind}, first third of the sites - last third",
            falls(kind, "usage"),
        )
        for kind in ("plain", "residual", "dense")
    ),
    *(
        Statement(
            _ICCV,
            "Classes share more at the bottom than at the top",
            f"similarity, {kind}, first third of the sites - last third",
            falls(kind, "similarity"),
        )
        for kind in ("plain", "residual", "dense")
    ),
    Statement(
        _ICCV,
        "With dense skip connections similarity is low in all layers",
        "similarity, plain - dense",
        alike("plain", "dense", "similarity"),
    ),
    Statement(
        _ICCV,
        "With dense skip connections similarity is low in all layers",
        "similarity, plain - dense, with half of every site kept",
        alike("plain", "dense", "similarity_half"),
    ),
    Statement(_ICCV, _EARLY, "hit rate, residual, best earlier site - last site", early("residual")),
    Statement(_ICCV, _EARLY, "the same in residual - in plain", earlier_than("residual", "plain")),
    Statement(
        _ICCV,
        "Without skip connections the hit rate is highest in the last two layers",
        "hit rate, plain, better of the last two sites - best of the others",
        late("plain"),
    ),
    Statement(
        _ICCV,
        "With dense skip connections too",
        "hit rate, dense, better of the last two sites - best of the others",
        late("dense"),
    ),
    Statement(
        _ICCV,
        "With dense skip connections the hit rate stays low",
        "hit rate at the best site, plain - dense",
        best_hit("plain", "dense"),
    ),
)


def findings(networks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every statement with its value for each training seed, by objective, and what that says."""
    seeds = sorted({one["seed"] for one in networks})
    found = []
    for objective in OBJECTIVES:
        by_seed = [{one["kind"]: mean_of(one[objective]) for one in networks if one["seed"] == seed} for seed in seeds]
        for statement in STATEMENTS:
            values = [statement.value(of) for of in by_seed]
            found.append(
                {
                    "source": statement.source,
                    "said": statement.said,
                    "objective": objective,
                    "tested": statement.tested,
                    "by_seed": [value if np.isfinite(value) else None for value in values],
                    **judged(values),
                }
            )
    return found


def judged(values: Sequence[float]) -> dict[str, Any]:
    """`mean` of the values, its 95 % interval (Student's t) for two seeds or more, and in words what they say."""
    mean, interval = float(np.mean(values)), None
    if len(values) > 1:
        reach = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1)) / len(values) ** 0.5
        interval = [mean - reach, mean + reach]
    if not np.isfinite(values).all():
        return {"mean": None, "interval": None, "found": "not to be measured with every seed"}
    if all(value > _ROUNDING for value in values):
        direction = "as the papers say with every seed"
    elif all(value < -_ROUNDING for value in values):
        direction = "against the papers with every seed"
    else:
        direction = "seeds disagree, or show no difference"
    if interval is not None and direction[0] == "a":
        direction += (
            ", beyond the seeds' spread" if interval[0] > 0 or interval[1] < 0 else ", within the seeds' spread"
        )
    return {"mean": mean, "interval": interval, "found": direction}
