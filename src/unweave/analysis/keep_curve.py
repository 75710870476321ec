"""How much of a class is in its highest scored channels: keeping more and more of them, or removing them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from unweave.analysis.class_rows import Wording, class_rows, without_images
from unweave.analysis.judging import Answers, Questions, Variant, answers
from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, left_out
from unweave.analysis.specificity import CONTROLS
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import PathsError, SettingError
from unweave.paths import Paths
from unweave.randomness import generator, key_of
from unweave.tables import Table
from unweave.whole_numbers import whole_number

SHARES = (0.0, 0.01, 0.02, 0.05, *(round(0.1 * step, 1) for step in range(1, 10)), 0.95, 0.98, 1.0)
"""Fine at both ends: many networks lose everything with the first tenth of their channels, and need nearly all of them
to be as good as whole."""
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
    controls: int = CONTROLS,
    seed: int = 0,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Table:
    """Sufficiency and necessity of the channels that a method scores highest.

    For each share q, at every site the `round(q C)` channels of highest score are kept and all others set to zero
    (sufficiency), or these are set to zero and all others kept (necessity); and as many are kept at random. `balanced`
    is `(own + 1 - false_accepts) / 2`, as in `specificity`. Scores that rank channels well make the first curve rise
    early and the second fall early; the areas under `balanced`, by trapezoids over q and divided by the range of q, say
    it in one number each: `keep_area` high, `remove_area` low, `random_area` between. Compare areas of the same shares
    only; where everything is lost at the first of them, `remove_area` tells nothing apart. Source: not in the papers;
    deletion and insertion curves (Petsiuk et al., 2018) of channels in place of pixels.

    Parameters
    ----------
    shares
        Ascending, from 0 to 1.
    others
        At most so many images of other classes per row, drawn by (seed, classes of the row); None: all. The cost is
        about rows x images x (2 + controls) x shares passes.
    controls
        Random orders drawn per row, at least one; figures are their mean.

    Returns
    -------
    Table
        One row per share: `share`, `channels` (share of all channels that this is: sites of few channels round), and
        `own`, `false_accepts`, `balanced` of each of `keep_*`, `remove_*`, `random_*`,
        means over rows with images; `random_balanced_lowest` and `random_balanced_highest` of single draws. The summary
        has the areas.

    Raises
    ------
    PathsError
        If there are no scores; else as `accuracy`, with MismatchError and DataError.
    SettingError
        If shares are not ascending from 0 to 1, `others` or `seed` is not a whole number from 0, or `controls` not one
        from 1.
    """
    if len(shares) < 2 or list(shares) != sorted(set(shares)) or shares[0] < 0 or shares[-1] > 1:
        raise SettingError(f"shares must ascend, from 0 to 1, at least two; found {list(shares)}")
    controls = whole_number("controls", controls, 1)
    rows = class_rows(paths, "the keep curve")
    check_scores(paths)
    images = labelled(data, labels)
    questions = Questions.of(rows, images, others, seed)
    ranked = _ranks(paths)
    shuffled = [_random_ranks(paths, seed + draw) for draw in range(controls)]
    kept = [_highest(paths, ranked, share) for share in shares]
    curves = {
        "keep": [kept],
        "remove": [[~masks for masks in kept]],
        "random": [[_highest(paths, ranks, share) for share in shares] for ranks in shuffled],
    }
    found = answers(
        Predictor.of(network, paths, device),
        questions,
        images,
        [Variant(masks) for draws in curves.values() for draw in draws for masks in draw],
        title="keep curve",
        seed=seed,
        show_progress=show_progress,
    )
    counts = [sum(_count(share, ranks) for ranks in ranked.values()) for share in shares]
    columns: dict[str, tuple[float, ...]] = {
        "share": tuple(float(share) for share in shares),
        "channels": tuple(count / sum(site.channels for site in paths.sites) for count in counts),
    }
    first = 1
    for curve, draws in curves.items():
        columns.update(_figures(found, curve, first, len(draws), len(shares)))
        first += len(draws) * len(shares)
    each = _of_draws(found, found.balanced, 1 + 2 * len(shares), controls, len(shares)).tolist()
    columns["random_balanced_lowest"] = tuple(map(min, zip(*each, strict=True)))
    columns["random_balanced_highest"] = tuple(map(max, zip(*each, strict=True)))
    words = Wording.of(rows)
    damaged = left_out(images, len(questions.images), len(found.read))
    return Table(
        title=f"Keeping and removing the channels of highest score, {origin(paths, images, found.read)}{damaged}"
        f"{without_images(paths, images, found.read)}{words.note}",
        columns=columns,
        meanings={
            "share": "of every site's channels, those of highest score (random_*: any)",
            "channels": "the share of all channels that these are; sites of few channels round",
            "keep_*": "these are kept, all others are zero",
            "remove_*": "these are zero, all others are kept",
            "random_*": f"as many are kept at random, mean of {controls} draws",
            "random_balanced_lowest": "of single draws",
            "random_balanced_highest": "of single draws",
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


def _figures(found: Answers, curve: str, first: int, draws: int, count: int) -> dict[str, tuple[float, ...]]:
    """Means over rows, and over the `draws` of a curve of `count` shares that begins at answer `first`."""
    tables = (found.own, found.false_accepts, found.balanced)
    return {
        f"{curve}_{figure}": tuple(_of_draws(found, table, first, draws, count).mean(0).tolist())
        for figure, table in zip(_FIGURES, tables, strict=True)
    }


def _of_draws(found: Answers, table: np.ndarray, first: int, draws: int, count: int) -> np.ndarray:
    """`[draws, count]`: the means over rows with images."""
    means = [found.mean(row) for row in table[first : first + draws * count]]
    return np.reshape(means, (draws, count))


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


def _highest(paths: Paths, ranked: dict[str, Tensor], share: float) -> Paths:
    """The masks of the first channels of every site."""
    masks = {name: ranks < _count(share, ranks) for name, ranks in ranked.items()}
    return Paths(masks, paths.rows, paths.sites, paths.manifest)
