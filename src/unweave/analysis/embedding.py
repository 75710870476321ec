"""A map of calculation paths on which alike ones are near each other (ECCV Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from unweave.analysis.separation import NEIGHBOURS, agreement_by_chance, separation
from unweave.errors import MissingExtraError, PathsError, SettingError
from unweave.paths import Paths
from unweave.tables import Table

Engine = Literal["openTSNE", "scikit-learn"]
ENGINES = ("openTSNE", "scikit-learn")


@dataclass(frozen=True, eq=False)
class Embedding:
    """`coordinates` `[rows, 2]`; `labels` `[rows]`, the class of each (-1: unknown), and `class_names` of those that
    occur; `names` of the rows. `separation`: how well classes keep apart, before and on the map. `title` says of how
    many inputs, `how` how the map was made."""

    coordinates: np.ndarray
    labels: np.ndarray
    class_names: Mapping[int, str]
    names: tuple[str, ...]
    separation: Table
    title: str
    how: str

    def to_table(self) -> Table:
        """The map as a table, a row an input."""
        return Table(
            title=f"{self.title}; {self.how}",
            columns={
                "row": self.names,
                "class": tuple(self.labels.tolist()),
                "name": tuple(self.class_names.get(label, "") for label in self.labels.tolist()),
                "x": tuple(self.coordinates[:, 0].tolist()),
                "y": tuple(self.coordinates[:, 1].tolist()),
            },
            meanings={"class": "index; -1 where unknown", "x": "place on the map, without unit", "y": "the same"},
        )


def embedding(
    paths: Paths,
    *,
    by: Literal["label", "prediction"] = "label",
    components: int = 300,
    perplexity: float = 30.0,
    seed: int = 0,
    engine: Engine | None = None,
    class_names: Mapping[int, str] | None = None,
) -> Embedding:
    """Map the paths of inputs to a plane: masks of all sites side by side, PCA, then t-SNE (ECCV section 4.2, Fig. 3).

    The table of `separation` has two rows, `PCA` and `map`: silhouette, agreement of the nearest and of the ten nearest
    neighbours with a row's class (each row left out of its own), and the agreement that shuffled labels have; see
    `unweave.analysis.separation` for the formulas. t-SNE draws clusters apart, so read the row `PCA` for how separate
    the paths are; `map` says how well the picture shows it.

    Parameters
    ----------
    paths
        Rows of inputs.
    by
        What a row's class is: the input's label, or the network's prediction. Rows without it are mapped, not scored.
    components
        At most so many principal components; channels that are the same in all rows do not count.
    perplexity
        About how many neighbours a row has on the map; at most a third of the other rows.
    seed
        Of t-SNE and, where the data are large, of PCA. The same seed and engine give the same map.
    engine
        "openTSNE" or "scikit-learn"; default: the first if it is installed.
    class_names
        Name of each class; default: what the paths' manifest has, else indices.

    Returns
    -------
    Embedding
        `coordinates` float `[rows, 2]`, without a unit; `labels` `[rows]`, -1 where unknown; `separation`: two rows.

    Raises
    ------
    PathsError
        If rows are classes, fewer than three, all alike, without known class, or of one class.
    SettingError
        If a setting cannot be used.
    MissingExtraError
        If `engine` is not installed.
    """
    _check_settings(by, components, perplexity, engine)
    labels = classes_of_inputs(paths, by)
    features = _principal_components(paths, components, seed)
    near = min(perplexity, (len(paths) - 1) / 3)
    used = engine or ("openTSNE" if _has_open_tsne() else "scikit-learn")
    coordinates = (_open_tsne if used == "openTSNE" else _scikit_learn)(features, near, seed)
    known = labels >= 0
    title = f"Paths of {len(paths)} inputs" + (f", {int((~known).sum())} of unknown class" if not known.all() else "")
    return Embedding(
        coordinates,
        labels,
        {c: _name(c, paths, class_names) for c in np.unique(labels[known]).tolist()},
        paths.rows.names,
        _separation_table({"PCA": features[known], "map": coordinates[known]}, labels[known], by),
        title,
        f"PCA to {features.shape[1]} components, t-SNE ({used}, perplexity {near:g}, seed {seed})",
    )


def _check_settings(by: str, components: int, perplexity: float, engine: str | None) -> None:
    if by not in ("label", "prediction"):
        raise SettingError(f"by must be 'label' or 'prediction', found {by!r}")
    if isinstance(components, bool) or not isinstance(components, int) or components < 2:
        raise SettingError(f"components must be a whole number of at least 2, found {components!r}")
    if not 0 < perplexity < float("inf"):
        raise SettingError(f"perplexity must be above 0, found {perplexity!r}")
    if engine not in (None, *ENGINES):
        raise SettingError(f"engine must be one of {', '.join(ENGINES)}, found {engine!r}")
    if engine == "openTSNE" and not _has_open_tsne():
        raise MissingExtraError("openTSNE is not installed: pip install 'unweave[embed]', or engine='scikit-learn'")


def classes_of_inputs(paths: Paths, by: str = "label") -> np.ndarray:
    """`[rows]`: the class of each input, -1 where unknown.

    Raises
    ------
    PathsError
        If there are no classes to tell apart.
    """
    rows = paths.rows
    if rows.kind == "class":
        raise PathsError("embedding is about inputs, several of a class; these paths' rows are classes: see similarity")
    if len(paths) < 3:
        raise PathsError(f"embedding needs at least three inputs, there are {len(paths)}")
    labels = np.asarray(rows.labels if by == "label" else rows.predictions, dtype=np.int64)
    known = np.unique(labels[labels >= 0])
    if len(known) == 0:
        other = "prediction" if by == "label" else "label"
        raise PathsError(f"no input's {by} is known; give by={other!r}, or find the paths of images with labels")
    if len(known) == 1:
        raise PathsError(f"separation is between classes, all inputs with a known {by} are of class {known[0]}")
    return labels


def _principal_components(paths: Paths, components: int, seed: int) -> np.ndarray:
    """`[rows, features]`, float32"""
    from sklearn.decomposition import PCA

    values = torch.cat(list(paths.masks.values()), 1).numpy()
    varying = values.any(0) & ~values.all(0)
    if not varying.any():
        raise PathsError(f"all {len(paths)} paths are the same; there is nothing to map")
    table = values[:, varying].astype(np.float32)
    count = min(components, table.shape[1], len(paths) - 1)
    found: np.ndarray = PCA(count, random_state=seed).fit_transform(table)
    return found.astype(np.float32)


def _start(features: np.ndarray, seed: int) -> np.ndarray:
    """The first two components, scaled down as t-SNE needs it. Noise a hundred times smaller parts equal rows."""
    first = np.zeros((len(features), 2), dtype=np.float32)
    first[:, : min(2, features.shape[1])] = features[:, :2]
    first *= 1e-4 / max(float(first[:, 0].std()), 1e-12)
    noise = np.random.default_rng(seed).normal(scale=1e-6, size=first.shape)
    return (first + noise).astype(np.float32)


def _scikit_learn(features: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    maker = TSNE(2, perplexity=perplexity, init=_start(features, seed), random_state=seed)
    found: np.ndarray = maker.fit_transform(features)
    return found.astype(np.float64)


def _open_tsne(features: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    from openTSNE import TSNE

    maker = TSNE(2, perplexity=perplexity, initialization=_start(features, seed), random_state=seed)
    return np.asarray(maker.fit(features), dtype=np.float64)


def _has_open_tsne() -> bool:
    from importlib.util import find_spec

    return find_spec("openTSNE") is not None


def _name(index: int, paths: Paths, given: Mapping[int, str] | None) -> str:
    recorded = paths.manifest.get("class_names")
    known = given if given is not None else recorded if isinstance(recorded, Mapping) else {}
    return str(known.get(index, known.get(str(index), index)))  # type: ignore[call-overload]


def _separation_table(spaces: dict[str, np.ndarray], labels: np.ndarray, by: str) -> Table:
    found = [separation(points, labels) for points in spaces.values()]
    chance = agreement_by_chance(labels)
    agreements = {f"agreement_{k}": tuple(one.agreement[k] for one in found) for k in NEIGHBOURS}
    of = "labels" if by == "label" else "predictions"
    return Table(
        title=f"Separation of {len(np.unique(labels))} classes by the paths of {len(labels)} inputs, {of}",
        columns={
            "space": tuple(spaces),
            "features": tuple(points.shape[1] for points in spaces.values()),
            "silhouette": tuple(one.silhouette for one in found),
            **agreements,
            "agreement_by_chance": (chance,) * len(found),
        },
        meanings={
            "space": "where distances are taken: principal components of the masks, or the map",
            "silhouette": "from -1 (among another class) over 0 (on the border) to 1 (apart), mean over inputs",
            **{
                f"agreement_{k}": f"share of the {k} nearest neighbours that are of an input's class"
                for k in NEIGHBOURS
            },
            "agreement_by_chance": "the same with shuffled labels, on average",
        },
    )
