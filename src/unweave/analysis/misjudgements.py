"""Why networks misjudge: are the wrong labels those of similar sub-architectures (ICCV Table 1 and Fig. 5)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor, nn

from unweave.analysis.class_rows import class_rows, no_images, without_images
from unweave.analysis.confusion_correlation import confusion_correlation, p_of
from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, image_batches, left_out
from unweave.analysis.similarity import Similarity, similarity
from unweave.analysis.similarity_ranks import SimilarityRanks
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import PathsError, SettingError
from unweave.paths import Paths
from unweave.progress import progress
from unweave.randomness import generator
from unweave.tables import Table
from unweave.whole_numbers import whole_number

Weighting = Literal["classes", "images"]
TOP = 3


@dataclass(frozen=True, eq=False)
class Misjudgements:
    """`classes`: a row a class, with the means in its summary. `images`: a row a misjudged image. `permuted`: the
    difference Mis. - Oth. under each permutation of the class labels; `permuted_correlations`: the rank correlation."""

    classes: Table
    images: Table
    permuted: np.ndarray
    permuted_correlations: np.ndarray

    def to_frame(self) -> object:
        """The table of classes as a pandas frame."""
        return self.classes.to_frame()


def misjudgements(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    *,
    labels: Sequence[int] | Tensor | None = None,
    weighting: Weighting = "classes",
    permutations: int = 1000,
    seed: int = 0,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Misjudgements:
    """Similarity of a class's sub-architecture to those of the labels it is wrongly given, and to all others.

    `M` is the Jaccard similarity of two classes, mean over sites. For class c, `W` are the labels that the untouched
    network wrongly gives to images of c: `Mis_c = mean over w in W of M(c, w)`, `Oth_c = mean over the classes o not in
    W, o != c, of M(c, o)`. `Mis.` and `Oth.` are their means over the classes that have both. With
    `weighting="images"`, `Mis_c` weighs each w by the number of images, and the means weigh each class by its number of
    misjudged images. Source: ICCV section 4.3, Table 1 and Fig. 5 (which prints the difference with a minus, and says
    it is above zero).

    Permutation test (after Mantel, 1967): the confusions stay, the rows and columns of `M` are permuted together;
    `p = (1 + |{permuted difference >= difference}|) / (1 + permutations)`: how often classes named at random would show
    as much.

    A class that is called by every other one at least once, as on many images or by a weak network, has no `Oth.`: how
    often counts there. `correlation` is the rank correlation, over all ordered pairs of classes, of the share of one's
    images that are called by the other with their similarity (`confusion_correlation`), with a `p` of its own from
    the same permutations. A class that many images are called by, and that shares much with all, raises it too.

    Wrong labels of classes that have no row are counted and left out.

    Returns
    -------
    Misjudgements
        `classes` has one row per row of the paths: `class`, `name`, `images`, `wrong` (images given another label),
        `wrong_labels` (number of different ones), `mis`, `oth`, `difference` (NaN where undefined), `similar` (the
        three most similar classes; where more are equally similar, how many), `confusions` (the up to three most
        frequent wrong labels), `shared` (how many of the confusions are among the three most similar; one of several
        equally similar classes counts by its chance to be). Its summary has `mis`,
        `oth`, `difference`, `p` (NaN if no class has both means), `classes_compared` (those that have), `correlation`
        and `correlation_p` (NaN if all pairs are equally often confused, or equally similar), `misjudged`
        (images given another label), `without_row` (those of them called by a class that has no row), and
        `share_shared` of the confusions beside `share_by_chance`.
        `images`: `position`, `label`, `prediction` (names), `similarity` of the two, `rank` (1: the most similar;
        equally similar classes have the middle of theirs) and `tied` (how many are as similar, itself among them).

    Raises
    ------
    PathsError, MismatchError, DataError
        As `accuracy`; also if rows are groups, or fewer than three.
    SettingError
        If a setting cannot be used.
    """
    if weighting not in ("classes", "images"):
        raise SettingError(f"weighting must be 'classes' or 'images', found {weighting!r}")
    permutations, seed = whole_number("permutations", permutations, 0), whole_number("seed", seed, 0)
    rows = class_rows(paths, "misjudgements")
    if len(rows) < 3 or any(len(row.members) > 1 for row in rows):
        groups = sum(len(row.members) > 1 for row in rows)
        raise PathsError(
            f"misjudgements compare single classes, at least three; there are {len(rows)} rows, {groups} of them "
            "groups; search more classes, or classes one by one"
        )
    images = labelled(data, labels)
    wanted = np.flatnonzero(np.isin(images.labels, paths.rows.classes))
    if len(wanted) == 0:
        raise no_images(rows, images)
    predictor = Predictor.of(network, paths, device)
    where, called = [], []
    with progress("misjudgements", len(wanted), show_progress) as advance:
        for positions, batch in image_batches(images, wanted, advance):
            where.append(positions)
            called.append(predictor.original(batch).argmax(1))
    damaged = left_out(images, len(wanted), sum(map(len, where)))
    read, predictions = np.concatenate(where), np.concatenate(called)
    found = Confusions.of(paths.rows.classes, images.labels[read], predictions)
    alike = similarity(paths)
    title = f"{origin(paths, images, read)}{damaged}{without_images(paths, images, read)}"
    if found.elsewhere:
        title += f"; {found.elsewhere} images called by a class without a row left out"
    return from_confusions(paths, alike, found, title, read, weighting, permutations, seed)


@dataclass(frozen=True, eq=False)
class Confusions:
    """`counts` `[rows, rows]`: images of row i called by row j, i != j. `images` `[rows]`: images of each row.
    `elsewhere`: images called by a class that is no row. `wrong`: which images are misjudged, as (index, row, row)."""

    counts: np.ndarray
    images: np.ndarray
    elsewhere: int
    wrong: np.ndarray

    @classmethod
    def of(cls, classes: Sequence[int], labels: np.ndarray, predictions: np.ndarray) -> Confusions:
        """From labels and predictions, class indices both."""
        known = np.asarray(classes)
        own = np.searchsorted(known, labels)
        other = np.minimum(np.searchsorted(known, predictions), len(known) - 1)
        has_row = known[other] == predictions
        wrong = np.flatnonzero((predictions != labels) & has_row)
        counts = np.zeros((len(known), len(known)), dtype=np.int64)
        np.add.at(counts, (own[wrong], other[wrong]), 1)
        images = np.bincount(own, minlength=len(known))
        return cls(counts, images, int((~has_row).sum()), np.stack([wrong, own[wrong], other[wrong]], 1))


def _mis_and_oth(matrix: np.ndarray, counts: np.ndarray, weighting: Weighting) -> tuple[np.ndarray, np.ndarray]:
    """`[rows]` each, NaN where a row has no wrong label, or no other label left."""
    wrong = counts > 0
    weights = (counts if weighting == "images" else wrong).astype(float)
    others = ~wrong
    np.fill_diagonal(others, False)
    with np.errstate(invalid="ignore"):
        mis = (weights * matrix).sum(1) / weights.sum(1)
        oth = np.where(others, matrix, 0).sum(1) / others.sum(1)
    defined = wrong.any(1) & others.any(1)
    return np.where(wrong.any(1), mis, np.nan), np.where(defined, oth, np.nan)


def _mean_difference(mis: np.ndarray, oth: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    defined = ~np.isnan(mis) & ~np.isnan(oth)
    if not defined.any():
        return float("nan"), float("nan")
    used = weights[defined]
    return float(np.average(mis[defined], weights=used)), float(np.average(oth[defined], weights=used))


def permuted_differences(
    matrix: np.ndarray, counts: np.ndarray, weighting: Weighting, permutations: int, seed: int
) -> np.ndarray:
    """`[permutations]`: Mis. - Oth. with the rows and columns of `matrix` permuted together, by (seed, number).

    Only the confused pairs and the sums of rows are looked up, so that a thousand classes take no longer than their
    confusions.
    """
    wrong = counts > 0
    other_labels = len(matrix) - 1 - wrong.sum(1)
    defined = wrong.any(1) & (other_labels > 0)
    if not defined.any():
        return np.empty(0)
    rows, columns = np.nonzero(wrong & defined[:, None])
    pair_weights = counts[rows, columns] if weighting == "images" else np.ones(len(rows))
    per_row = np.bincount(rows, pair_weights, len(matrix))
    class_weights = (counts.sum(1) if weighting == "images" else np.ones(len(matrix))) * defined
    class_weights = class_weights / class_weights.sum()
    sums = matrix.sum(1) - np.diag(matrix)
    safe_rows, safe_others = np.maximum(per_row, 1e-300), np.maximum(other_labels, 1)
    found = np.empty(permutations)
    for number in range(permutations):
        order = generator("labels", seed, number).permutation(len(matrix))
        pairs = matrix[order[rows], order[columns]]
        mis = np.bincount(rows, pair_weights * pairs, len(matrix)) / safe_rows
        oth = (sums[order] - np.bincount(rows, pairs, len(matrix))) / safe_others
        found[number] = ((mis - oth) * class_weights).sum()
    return found


def from_confusions(
    paths: Paths,
    alike: Similarity,
    found: Confusions,
    where: str,
    read: np.ndarray,
    weighting: Weighting = "classes",
    permutations: int = 1000,
    seed: int = 0,
) -> Misjudgements:
    """`misjudgements` of images whose labels and predictions are known: `found`, of the images at positions `read` of
    the data, which `where` names; `alike` may be the mean similarity of several searches of the same rows."""
    matrix, counts, names = alike.matrix, found.counts, paths.rows.names
    mis, oth = _mis_and_oth(matrix, counts, weighting)
    weights = counts.sum(1) if weighting == "images" else np.ones(len(names))
    mean_mis, mean_oth = _mean_difference(mis, oth, weights)
    permuted = permuted_differences(matrix, counts, weighting, permutations, seed)
    difference = mean_mis - mean_oth
    correlation, correlations = confusion_correlation(matrix, counts, found.images, permutations, seed)
    ranks = SimilarityRanks.of(matrix)
    chances = ranks.among_first(TOP)
    confused = [[int(j) for j in np.argsort(-row, kind="stable")[:TOP] if row[j]] for row in counts]
    shared = [float(chances[row, labels].sum()) for row, labels in enumerate(confused)]
    total = sum(map(len, confused))
    classes = Table(
        title=f"Similarity to the labels that images are wrongly given (Mis.) and to others (Oth.), {where}",
        columns={
            "class": paths.rows.classes,
            "name": names,
            "images": tuple(found.images.tolist()),
            "wrong": tuple(counts.sum(1).tolist()),
            "wrong_labels": tuple((counts > 0).sum(1).tolist()),
            "mis": tuple(mis.tolist()),
            "oth": tuple(oth.tolist()),
            "difference": tuple((mis - oth).tolist()),
            "similar": tuple(_most_similar(ranks, row, names) for row in range(len(names))),
            "confusions": tuple(", ".join(names[j] for j in row) for row in confused),
            "shared": tuple(shared),
        },
        meanings={
            "wrong": "images of the class that the whole network calls by another class that has a row",
            "wrong_labels": "how many different classes these are",
            "mis": "mean similarity of the class's sub-architecture to those of the wrong labels"
            + (", each weighed by its images" if weighting == "images" else ""),
            "oth": "mean similarity to those of all other classes",
            "similar": "the most similar classes, the most similar first",
            "confusions": "the most frequent wrong labels, the most frequent first",
            "shared": "how many of these are among the three most similar; of equally similar ones, by chance",
        },
        summary={
            "mis": mean_mis,
            "oth": mean_oth,
            "difference": difference,
            "p": p_of(difference, permuted),
            "correlation": correlation,
            "correlation_p": p_of(correlation, correlations),
            "permutations": permutations,
            "classes_compared": int((~np.isnan(mis - oth)).sum()),
            "misjudged": int(counts.sum()) + found.elsewhere,
            "without_row": found.elsewhere,
            "share_shared": sum(shared) / total if total else float("nan"),
            "share_by_chance": min(TOP, len(names) - 1) / (len(names) - 1),
            "weighting": weighting,
        },
    )
    return Misjudgements(classes, _images_table(paths, matrix, ranks, found, read, where), permuted, correlations)


def _most_similar(ranks: SimilarityRanks, row: int, names: Sequence[str]) -> str:
    """`cat, dog, 5 others alike`."""
    certain, shared = ranks.first(row, TOP)
    alike = [f"{len(shared)} others alike" if certain else f"{len(shared)} alike"] if shared else []
    return ", ".join([*(names[j] for j in certain), *alike])


def _images_table(
    paths: Paths, matrix: np.ndarray, ranks: SimilarityRanks, found: Confusions, read: np.ndarray, where: str
) -> Table:
    which, own, other = found.wrong.T
    return Table(
        title=f"Misjudged images, {where}",
        columns={
            "position": tuple(read[which].tolist()),
            "label": tuple(paths.rows.names[i] for i in own),
            "prediction": tuple(paths.rows.names[i] for i in other),
            "similarity": tuple(matrix[own, other].tolist()),
            "rank": tuple(ranks.middle[own, other].tolist()),
            "tied": tuple(ranks.tied[own, other].tolist()),
        },
        meanings={
            "position": "of the image in the data",
            "prediction": "what the whole network calls it",
            "similarity": "of the two classes' sub-architectures",
            "rank": "of the prediction among the classes similar to the label; 1 is the most similar, equally similar "
            "ones have the middle of theirs",
            "tied": "how many classes are as similar to the label as the prediction is, itself among them",
        },
    )
