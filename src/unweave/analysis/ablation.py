"""Controls beside a sub-architecture's accuracy: other masks, and other things in place of dropped channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from unweave.analysis.class_rows import Wording, class_rows, without_images
from unweave.analysis.judging import FILLINGS, Filling, Questions, Variant, answers, mean_known, worst
from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, left_out
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import SettingError
from unweave.paths import Paths
from unweave.tables import Table

MASKS = ("sub-architecture", "complement", "random")


def ablation(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    *,
    labels: Sequence[int] | Tensor | None = None,
    fillings: Sequence[Filling] = FILLINGS,
    others: int | None = None,
    seed: int = 0,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Table:
    """Balanced one-against-rest accuracy through each sub-architecture, its complement, and a random mask of its sizes,
    with the dropped channels set to zero, to their mean, or to what they hold for another image.

    For a row, `own` is the share of its images that are called by it, `false_accepts` the share of others' images that
    are too, and `balanced = (own + 1 - false_accepts) / 2`: 0.5 for a network that cannot tell the class from the rest.
    A channel dropped at a site holds, instead of its value: `zero`; `mean`, its mean in the untouched network over up
    to 512 of the images and all positions; or `resample`, its value in the untouched network for another image, drawn
    by the seed. Zeros alone may be what breaks a network; a sub-architecture whose channels are the ones that matter
    keeps its accuracy under all three, and its complement loses it.

    Parameters
    ----------
    fillings
        Any of "zero", "mean", "resample".
    others
        At most so many images of other classes per row, drawn by (seed, classes of the row); default: all. The cost is
        rows x images x 3 x fillings passes.

    Returns
    -------
    Table
        First the whole network, then a row per mask and filling: `mask`, `dropped` (what dropped channels hold),
        `own`, `false_accepts`, `balanced` (means over rows with images; shares), `worst_balanced` and `worst` (of the
        row with the lowest, and its name). The summary has `balanced` and `worst_balanced` of the sub-architectures
        with the first filling.

    Raises
    ------
    PathsError, MismatchError, DataError
        As `accuracy`.
    SettingError
        If a filling is unknown, or `others` or `seed` negative.
    """
    unknown = [filling for filling in fillings if filling not in FILLINGS]
    if unknown or not fillings:
        given = repr(unknown[0]) if unknown else "none"
        raise SettingError(f"fillings are {', '.join(map(repr, FILLINGS))}, found {given}")
    rows, images = class_rows(paths, "ablation"), labelled(data, labels)
    questions = Questions.of(rows, images, others, seed)
    masks = dict(zip(MASKS, (paths, ~paths, paths.random_control(seed)), strict=True))
    kinds = [(name, filling) for name in masks for filling in fillings]
    found = answers(
        Predictor.of(network, paths, device),
        questions,
        images,
        [Variant(masks[name], filling) for name, filling in kinds],
        title="ablation",
        seed=seed,
        show_progress=show_progress,
    )
    lowest = [worst(balanced, paths.rows.names) for balanced in found.balanced]
    words = Wording.of(rows)
    damaged = left_out(images, len(questions.images), len(found.read))
    columns: dict[str, tuple[object, ...]] = {
        "mask": ("whole network", *(name for name, _ in kinds)),
        "dropped": ("", *(filling for _, filling in kinds)),
        "own": _means(found.own),
        "false_accepts": _means(found.false_accepts),
        "balanced": _means(found.balanced),
        "worst_balanced": tuple(value for value, _ in lowest),
        "worst": tuple(name for _, name in lowest),
    }
    first = 1 + kinds.index(("sub-architecture", fillings[0]))
    return Table(
        title=f"Other masks and other fillings, {origin(paths, images, found.read)}{damaged}"
        f"{without_images(paths, images, found.read)}{words.note}",
        columns=columns,
        meanings={
            "mask": "random: as many channels of every site as the sub-architecture keeps",
            "dropped": "what dropped channels hold: zero, their mean, or their value for another image",
            "own": f"share of the {words.row}'s images called by {words.members}, mean",
            "false_accepts": f"share of the images of {words.others} that are too, mean",
            "balanced": f"mean of own and of the share of images of {words.others} that are refused",
            "worst_balanced": f"of the {words.row} with the lowest",
        },
        summary={
            "sub_architecture_balanced": mean_known(found.balanced[first]),
            "sub_architecture_worst_balanced": lowest[first][0],
            "sub_architecture_dropped": fillings[0],
        },
    )


def _means(values: np.ndarray) -> tuple[float, ...]:
    return tuple(mean_known(row) for row in values)
