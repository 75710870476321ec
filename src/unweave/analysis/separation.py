"""How well points of different classes keep apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unweave.errors import PathsError

NEIGHBOURS = (1, 10)


@dataclass(frozen=True)
class Separation:
    """`silhouette` in [-1, 1]; `agreement[k]`: share of a point's `k` nearest neighbours that are of its class, mean
    over points."""

    silhouette: float
    agreement: dict[int, float]


def separation(points: np.ndarray, labels: np.ndarray) -> Separation:
    """Separation of `points` `[points, features]` by `labels` `[points]`, with Euclidean distances.

    Silhouette: mean over points of `(b - a) / max(a, b)`, `a` the mean distance to the other points of its class, `b`
    to those of the nearest other class; 0 for the only point of a class (Rousseeuw, 1987).

    Agreement: `1/n sum_i |{j in N_k(i): y_j = y_i}| / k`, `N_k(i)` the `k` points nearest to `i`, itself left out (with
    fewer than `k` others: all of them). Which of several equally near ones count depends on their order.

    Raises
    ------
    PathsError
        If there are fewer than two classes, or none has two points.
    """
    classes = len(np.unique(labels))
    if classes < 2:
        raise PathsError(f"separation is between classes, all {len(labels)} inputs are of one; give inputs of others")
    if classes == len(labels):
        raise PathsError(f"each of the {classes} inputs is alone in its class; give several of a class")
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    most = min(max(NEIGHBOURS), len(labels) - 1)
    # Without an argument, a point is not its own neighbour.
    near = NearestNeighbors(n_neighbors=most).fit(points).kneighbors(return_distance=False)
    same = labels[near] == labels[:, None]
    agreement = {k: float(same[:, :k].mean()) for k in NEIGHBOURS}
    return Separation(float(silhouette_score(points, labels)), agreement)


def agreement_by_chance(labels: np.ndarray) -> float:
    """What `agreement` is on average, for any `k`, where labels are shuffled: `sum_c n_c (n_c - 1) / (n (n - 1))`."""
    _, counts = np.unique(labels, return_counts=True)
    return float((counts * (counts - 1)).sum() / (len(labels) * (len(labels) - 1)))
