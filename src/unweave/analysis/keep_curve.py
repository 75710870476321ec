"""How much of a class is in its highest scored channels: keeping more and more of them, or removing them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from unweave.analysis.class_rows import Wording, class_rows, without_images
from unweave.analysis.judging import Answers, Questions, Variant, answers, mean_known
from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, left_out
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import PathsError, SettingError
from unweave.paths import Paths
from unweave.randomness import generator, key_of
from unweave.tables import Table

SHARES = tuple(round(0.1 * step, 1) for step in range(11))
OTHERS = 100
"""Images of other classes that a row is asked about, unless told otherwise."""
_FIGURES = ("own", "false_accepts", "balanced")


def keep_curve(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    *,
    labels: Sequence[int] | Tensor | None = None,
    shares: Sequence[float] = SHARES,
    others: int | None = OTHERS,
    seed: int = 0,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Table:
    """Sufficiency and necessity of the channels that a method scores highest.

    For each share q, at every site the `round(q C)` channels of highest score are kept and all others set to zero
    (sufficiency), or these are set to zero and all others kept (necessity); and as many are kept at random. `balanced`
    is `(own + 1 - false_accepts) / 2`, as in `specificity`. Scores that rank channels well make the first curve rise
    early and the second fall early; the areas under `balanced`, by trapezoids over q and divided by the range of q, say
    it in one number each: `keep_area` high, `remove_area` low, `random_area` between.

    Parameters
    ----------
    shares
        Ascending, from 0 to 1.
    others
        At most so many images of other classes per row, drawn by (seed, classes of the row); None: all. The cost is
        about rows x images x 3 x shares passes.

    Returns
    -------
    Table
        One row per share: `share`, and `own`, `false_accepts`, `balanced` of each of `keep_*`, `remove_*`, `random_*`;
        means over rows with images. The summary has the areas.

    Raises
    ------
    PathsError
        If there are no scores; else as `accuracy`, with MismatchError and DataError.
    SettingError
        If shares are not ascending from 0 to 1, or `others` or `seed` is negative.
    """
    if len(shares) < 2 or list(shares) != sorted(set(shares)) or shares[0] < 0 or shares[-1] > 1:
        raise SettingError(f"shares must ascend, from 0 to 1, at least two; found {list(shares)}")
    rows = class_rows(paths, "the keep curve")
    check_scores(paths)
    images = labelled(data, labels)
    questions = Questions.of(rows, images, others, seed)
    ranked, shuffled = _ranks(paths), _random_ranks(paths, seed)
    curves: dict[str, list[Variant]] = {"keep": [], "remove": [], "random": []}
    for share in shares:
        top = _with_masks(paths, {name: ranks < _count(share, ranks) for name, ranks in ranked.items()})
        drawn = _with_masks(paths, {name: ranks < _count(share, ranks) for name, ranks in shuffled.items()})
        for variants, masks in zip(curves.values(), (top, ~top, drawn), strict=True):
            variants.append(Variant(masks))
    found = answers(
        Predictor.of(network, paths, device),
        questions,
        images,
        [variant for variants in curves.values() for variant in variants],
        title="keep curve",
        seed=seed,
        show_progress=show_progress,
    )
    columns: dict[str, tuple[float, ...]] = {"share": tuple(float(share) for share in shares)}
    for number, curve in enumerate(curves):
        columns.update(_figures(found, curve, 1 + number * len(shares), len(shares)))
    words = Wording.of(rows)
    damaged = left_out(images, len(questions.images), len(found.read))
    return Table(
        title=f"Keeping and removing the channels of highest score, {origin(paths, images, found.read)}{damaged}"
        f"{without_images(paths, images, found.read)}{words.note}",
        columns=columns,
        meanings={
            "share": "of every site's channels, those of highest score (random_*: any)",
            "keep_*": "these are kept, all others are zero",
            "remove_*": "these are zero, all others are kept",
            "random_*": "as many are kept at random",
            "*_own": f"share of the {words.row}'s images called by {words.members}, mean",
            "*_false_accepts": f"share of the images of {words.others} that are too, mean",
            "*_balanced": "mean of own and of the share of the others that are refused",
        },
        summary={
            f"{curve}_area": float(np.trapezoid(columns[f"{curve}_balanced"], shares) / (shares[-1] - shares[0]))
            for curve in curves
        },
    )


def check_scores(paths: Paths) -> None:
    """Refuse paths without scores.

    Raises
    ------
    PathsError
    """
    if paths.scores is None:
        raise PathsError(
            "the keep curve ranks channels by their scores, which these paths do not have (set operations and "
            "from_masks drop them); take those of a search"
        )


def _figures(found: Answers, curve: str, first: int, count: int) -> dict[str, tuple[float, ...]]:
    tables = (found.own, found.false_accepts, found.balanced)
    return {
        f"{curve}_{figure}": tuple(mean_known(row) for row in table[first : first + count])
        for figure, table in zip(_FIGURES, tables, strict=True)
    }


def _count(share: float, ranks: Tensor) -> int:
    return round(share * ranks.shape[1])


def _ranks(paths: Paths) -> dict[str, Tensor]:
    """`[rows, channels]` by site: 0 for the highest score; of equal ones the lower channel first."""
    assert paths.scores is not None
    return {
        name: torch.argsort(torch.argsort(scores, descending=True, stable=True, dim=1), dim=1)
        for name, scores in paths.scores.items()
    }


def _random_ranks(paths: Paths, seed: int) -> dict[str, Tensor]:
    """The same in random order, that of `Paths.random_control`."""
    keys = [key_of(members) for members in paths.rows.members]
    ranks = {}
    for position, site in enumerate(paths.sites):
        orders = [generator("channels", seed, key, position).permutation(site.channels) for key in keys]
        ranks[site.name] = torch.from_numpy(np.argsort(np.stack(orders), 1))
    return ranks


def _with_masks(paths: Paths, masks: dict[str, Tensor]) -> Paths:
    return Paths(masks, paths.rows, paths.sites, paths.manifest)
