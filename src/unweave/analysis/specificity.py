"""Whether a sub-architecture refuses the other classes, and whether its choice of channels matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from unweave.analysis.class_rows import Wording, class_rows, without_images
from unweave.analysis.intervals import reach_of_mean
from unweave.analysis.judging import Answers, Questions, Variant, answers, worst
from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, left_out
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.paths import Paths
from unweave.tables import Table
from unweave.whole_numbers import whole_number

CONTROLS = 3
"""Random masks drawn for every row, unless told otherwise."""


def specificity(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    *,
    labels: Sequence[int] | Tensor | None = None,
    controls: int = CONTROLS,
    others: int | None = None,
    seed: int = 0,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Table:
    """Own-class accuracy and false accepts of each sub-architecture, of the whole network, and of random masks of the
    same sizes.

    For class c, with `S` the images of c and `O` the images of other classes:
    `own = |{x in S: f_c(x) = c}| / |S|`, `false_accepts = |{x in O: f_c(x) = c}| / |O|`, where `f_c` predicts through
    the sub-architecture of c. `balanced = (own + 1 - false_accepts) / 2`. Source: `own` is the accuracy of ICCV section
    4.2.1; false accepts, balanced accuracy and random masks are not in the papers.

    For a group, `S` are the images of all its classes, and `f_c(x) = c` means that the prediction is one of them. For a
    row that was told apart from some classes (`against=`), `O` are the images of these, and the prediction is the
    highest class score among these and its own.

    Parameters
    ----------
    controls
        Random masks drawn per row, each keeping as many channels of every site as the row does; figures are their mean,
        and the best of them.
    others
        At most so many images of other classes per row, drawn by (seed, classes of the row); default: all. The cost is
        rows x images x (1 + controls) passes.

    Returns
    -------
    Table
        One row per row of the paths: `class` (-1 for a group), `name`, `own`, `false_accepts`, `balanced`, the same for
        `original_*` (the whole network) and `random_*` (mean over the controls), `random_balanced_highest` (of the
        controls), `own_images` and `other_images` (counts). Shares of the images that can be read; NaN where there are
        none. Where rows were told apart from some classes, also `against`, the names of these (empty: all others). The
        summary has the shares' means over rows with images of their own; `own_reach` and `false_accepts_reach`, half of
        these means' 95 % intervals over images (`unweave.analysis.intervals`); and `worst_balanced` (`original_*`,
        `random_*`), that of the row with the lowest, which `worst` names.

    Raises
    ------
    PathsError, MismatchError, DataError
        As `accuracy`.
    SettingError
        If `controls`, `others` or `seed` is not a whole number from 0.
    """
    controls = whole_number("controls", controls, 0)
    rows = class_rows(paths, "specificity")
    images = labelled(data, labels)
    questions = Questions.of(rows, images, others, seed)
    predictor = Predictor.of(network, paths, device)
    drawn = [paths.random_control(seed + draw) for draw in range(controls)]
    found = answers(
        predictor,
        questions,
        images,
        [Variant(masks) for masks in (paths, *drawn)],
        title="specificity",
        show_progress=show_progress,
    )
    words = Wording.of(rows)
    columns: dict[str, tuple[object, ...]] = {"class": paths.rows.classes, "name": paths.rows.names}
    for prefix, which in (("", slice(1, 2)), ("original_", slice(0, 1)), ("random_", slice(2, None))):
        if not len(found.own[which]):
            continue
        right, wrong = found.own[which].mean(0), found.false_accepts[which].mean(0)
        columns[f"{prefix}own"], columns[f"{prefix}false_accepts"] = tuple(right.tolist()), tuple(wrong.tolist())
        columns[f"{prefix}balanced"] = tuple(((right + 1 - wrong) / 2).tolist())
    if controls:
        columns["random_balanced_highest"] = tuple(found.balanced[2:].max(0).tolist())
    shares = [name for name in columns if name not in ("class", "name")]
    columns["own_images"], columns["other_images"] = map(tuple, found.counts.tolist())
    if any(row.against for row in rows):
        columns["against"] = _opponents(paths)
    damaged = left_out(images, len(questions.images), len(found.read))
    return Table(
        title=f"Own {words.row} and {words.others}, {origin(paths, images, found.read)}{damaged}"
        f"{without_images(paths, images, found.read)}{words.note}",
        columns=columns,
        meanings={
            "class": "index; -1 for a group of several classes",
            "own": f"share of the {words.row}'s images that its sub-architecture calls by {words.members}",
            "false_accepts": f"share of the images of {words.others} that it also calls by {words.members}",
            "balanced": f"mean of own and of the share of images of {words.others} not called by {words.members}",
            "original_*": "the same for the whole network",
            "random_*": f"the same for {controls} random masks that keep as many channels of every site, mean",
            "random_balanced_highest": "of these masks",
            "own_images": f"of the {words.row} that it was asked about",
            "other_images": f"of {words.others}",
            "against": "the classes that the row was told apart from, and is asked about; empty: all others",
        },
        summary={
            **{name: found.mean(columns[name]) for name in shares},
            **_reaches(found, questions, images),
            **_worst_of(columns, paths.rows.names),
        },
    )


def _opponents(paths: Paths) -> tuple[str, ...]:
    """The names of each row's opponents; a class without a row of its own has its index."""
    members, names = paths.rows.members, paths.rows.names
    known = {own[0]: name for own, name in zip(members, names, strict=True) if len(own) == 1}
    return tuple(", ".join(known.get(c, str(c)) for c in against) for against in paths.rows.against)


def _reaches(found: Answers, questions: Questions, images: LabelledImages) -> dict[str, float]:
    """Of the means of `own` and `false_accepts` over the rows with images of their own."""
    rows, read = found.counts[0] > 0, found.read
    called, asked, labels = found.called[rows][:, read], questions.asked[rows][:, read], images.labels[read]
    return {
        "own_reach": reach_of_mean(called, asked == 1, labels),
        "false_accepts_reach": reach_of_mean(called, asked == 2, labels),
    }


def _worst_of(columns: dict[str, tuple[object, ...]], names: tuple[str, ...]) -> dict[str, float | str]:
    """The lowest balanced accuracy of a row, of each kind, and which row of the sub-architectures has it."""
    found: dict[str, float | str] = {}
    for prefix in ("", "original_", "random_"):
        if f"{prefix}balanced" in columns:
            value, name = worst(np.asarray(columns[f"{prefix}balanced"], float), names)
            found[f"{prefix}worst_balanced"] = value
            if not prefix:
                found["worst"] = name
    return found
