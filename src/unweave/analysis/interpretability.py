"""How diverse the similarities between classes are (preprint Eq. 10 to 12), beside how well a network classifies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from unweave.analysis.class_rows import class_rows, named
from unweave.analysis.similarity import similarity
from unweave.analysis.usage import usage
from unweave.errors import DataError, PathsError
from unweave.paths import Paths
from unweave.tables import Table

READINGS = ("products", "similarities")


def interpretability(paths: Paths, accuracies: Table) -> Table:
    """Interpretability score: the spread of accuracy-weighted similarities between classes.

    `I = 2 / (k^2 - k) sum_{i < j} (a_i a_j M(i, j) - mu)^2`, with `M` the Jaccard similarity of two sub-architectures,
    mean over sites, and `a` their own-class accuracies (fractions). The preprint calls `mu` "the mean value of the
    similarities". Read as the mean of the same products, `I` is their variance (reading `products`, the one to use);
    read as the mean of `M` alone (reading `similarities`), it also grows with how far accuracies are from 1, by
    `(mean of a a M - mean of M)^2`. Source: preprint section 4, Eq. 10 to 12.

    By either reading the score varies with accuracies alone: where all `M` are equal to `m`, it is `m^2` times the
    variance of `a_i a_j`. The summary's `variance_of_similarities`, of `M`, does not.

    The score depends on how many channels are kept: `M` cannot spread where nearly all are, or nearly none. Compare
    networks searched in the same way, and at similar usage.

    Parameters
    ----------
    accuracies
        What `accuracy` returned for the same paths. Classes without images are left out, and said.

    Returns
    -------
    Table
        One row per reading: `mu_of`, `score`, `mu`; the summary has `interpretability` (the score by reading
        `products`), `classes`, the means of `M` and `a`, the `standard_deviation` of the products, and
        `variance_of_similarities`.

    Raises
    ------
    PathsError
        If rows are not classes, or fewer than three have accuracies (two make one pair, whose variance is 0).
    DataError
        If `accuracies` is of other rows.
    """
    known, usable = _usable(paths, accuracies)
    similarities, products = pairs(paths, accuracies)
    means = {"products": float(products.mean()), "similarities": float(similarities.mean())}
    scores = {reading: float(((products - mu) ** 2).mean()) for reading, mu in means.items()}
    without = [name for name, value in zip(paths.rows.names, known, strict=True) if np.isnan(value)]
    note = f"; {len(without)} without images left out ({named(without)})" if without else ""
    return Table(
        title=f"Interpretability of {len(usable)} sub-architectures{note}. Accuracies: {accuracies.title}",
        columns={
            "mu_of": READINGS,
            "score": tuple(scores[reading] for reading in READINGS),
            "mu": tuple(means[reading] for reading in READINGS),
        },
        meanings={
            "mu_of": "what mu is the mean of: products (a_i a_j M), or similarities (M alone)",
            "score": "mean over pairs of classes of (a_i a_j M(i, j) - mu)^2",
        },
        summary={
            "interpretability": scores["products"],
            "classes": len(usable),
            "mean_similarity": means["similarities"],
            "mean_accuracy": float(known[usable].mean()),
            "standard_deviation": float(products.std()),
            "variance_of_similarities": float(similarities.var()),
        },
    )


def pairs(paths: Paths, accuracies: Table) -> tuple[np.ndarray, np.ndarray]:
    """`M(i, j)` and `a_i a_j M(i, j)` of all pairs i < j of classes with accuracies, of which the score is made.

    Parameters
    ----------
    accuracies
        What `accuracy` returned for the same paths.

    Raises
    ------
    PathsError, DataError
        As `interpretability`.
    """
    known, usable = _usable(paths, accuracies)
    first, second = np.triu_indices(len(usable), 1)
    similarities = similarity(paths).matrix[np.ix_(usable, usable)][first, second]
    a = known[usable]
    return similarities, a[first] * a[second] * similarities


def _usable(paths: Paths, accuracies: Table) -> tuple[np.ndarray, np.ndarray]:
    """The accuracies of all rows, and which rows have one."""
    class_rows(paths, "interpretability")
    if accuracies.columns.get("name") != paths.rows.names or "sub_architecture" not in accuracies.columns:
        raise DataError(
            "the accuracies are not those of these paths' rows; give what accuracy(network, paths, ...) found"
        )
    known = np.asarray(accuracies["sub_architecture"], dtype=float)
    usable = np.flatnonzero(~np.isnan(known))
    if len(usable) < 3:
        raise PathsError(f"interpretability needs at least three classes with accuracies, there are {len(usable)}")
    return known, usable


def compare_interpretability(networks: Mapping[str, tuple[Paths, Table]]) -> Table:
    """Interpretability against discriminability of several networks (preprint section 5.4, Fig. 6).

    Parameters
    ----------
    networks
        Name: the network's paths, and what `accuracy` returned for them.

    Returns
    -------
    Table
        One row per network: `network`, `top1` (of the whole network, share of all measured images), `score` (reading
        `products`), `score_similarities` (the other reading), `sub_architectures` (mean own-class accuracy),
        `similarity` and `usage` (means, of which scores depend). The summary has Spearman's rank correlation of `score`
        and `top1`, NaN for fewer than three networks.

    Raises
    ------
    DataError
        Without networks.
    PathsError
        As `interpretability`, naming the network.
    """
    if not networks:
        raise DataError("there are no networks to compare")
    columns: dict[str, list[object]] = {
        name: []
        for name in ("network", "top1", "score", "score_similarities", "sub_architectures", "similarity", "usage")
    }
    for name, (paths, accuracies) in networks.items():
        try:
            found = interpretability(paths, accuracies)
        except (PathsError, DataError) as error:
            raise type(error)(f"{name}: {error}") from error
        whole, images = np.asarray(accuracies["original"], float), np.asarray(accuracies["images"], float)
        row = (
            name,
            float(np.average(np.nan_to_num(whole), weights=images)),
            found["score"][0],
            found["score"][1],
            found.summary["mean_accuracy"],
            found.summary["mean_similarity"],
            usage(paths).summary["usage"],
        )
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    return Table(
        title=f"Interpretability against discriminability of {len(networks)} network{'s' if len(networks) > 1 else ''}",
        columns={name: tuple(values) for name, values in columns.items()},
        meanings={
            "top1": "share of the measured images that the whole network calls by their class",
            "score": "interpretability, mu the mean of the products",
            "score_similarities": "interpretability, mu the mean of the similarities",
            "sub_architectures": "mean own-class accuracy of the sub-architectures",
            "similarity": "mean over pairs of classes and sites",
            "usage": "share of channels kept",
        },
        summary={"rank_correlation": rank_correlation(columns["score"], columns["top1"])},
    )


def rank_correlation(first: Sequence[object], second: Sequence[object]) -> float:
    """Spearman's, of two lists of numbers; NaN of fewer than three pairs, or where one of the lists does not vary."""
    from scipy.stats import spearmanr

    values = np.asarray([first, second], dtype=float)
    if values.shape[1] < 3 or (np.ptp(values, 1) == 0).any():
        return float("nan")
    return float(spearmanr(*values).statistic)
