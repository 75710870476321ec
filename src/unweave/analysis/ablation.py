"""Controls beside a sub-architecture's accuracy: other masks, and other things in place of dropped channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from unweave.analysis.class_rows import Wording, class_rows, without_images
from unweave.analysis.judging import FILLINGS, Answers, Filling, Questions, Variant, answers, worst
from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, left_out
from unweave.analysis.specificity import CONTROLS
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import SettingError
from unweave.paths import Paths
from unweave.tables import Table
from unweave.whole_numbers import whole_number

MASKS = ("sub-architecture", "complement", "random")


def ablation(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    *,
    labels: Sequence[int] | Tensor | None = None,
    fillings: Sequence[Filling] = FILLINGS,
    others: int | None = None,
    controls: int = CONTROLS,
    seed: int = 0,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Table:
    """Balanced one-against-rest accuracy through each sub-architecture, its complement, and random masks of its sizes,
    with the dropped channels set to zero, to their mean, or to what they hold for another image.

    For a row, `own` is the share of its images that are called by it, `false_accepts` the share of others' images that
    are too, and `balanced = (own + 1 - false_accepts) / 2`: 0.5 for a network that cannot tell the class from the rest.
    A channel dropped at a site holds, instead of its value: `zero`; `mean`, its mean in the untouched network over up
    to 512 of the images and all positions; or `resample`, its value in the untouched network for another image, drawn
    by the seed from all (with k classes of equal size, one partner in k is of the image's own class). Zeros alone may
    be what breaks a network; a sub-architecture whose channels are the ones that matter keeps its accuracy under all
    three, and its complement loses it. Source: not in the papers; resampling as in causal scrubbing (Chan et al.,
    2022).

    Parameters
    ----------
    fillings
        Any of "zero", "mean", "resample".
    others
        At most so many images of other classes per row, drawn by (seed, classes of the row); default: all. The cost is
        rows x images x (2 + controls) x fillings passes.
    controls
        Random masks drawn per row, at least one; figures are their mean.

    Returns
    -------
    Table
        First the whole network, then a row per mask and filling: `mask`, `dropped` (what dropped channels hold),
        `own`, `false_accepts`, `balanced` (means over rows with images; shares), `worst_balanced` and `worst` (of the
        row with the lowest, and its name; of random masks, the lowest in any draw), and `balanced_lowest` and
        `balanced_highest`, the same number but for random masks, where they are of the single draws. The summary has
        `balanced` and `worst_balanced` of the sub-architectures with the first filling.

    Raises
    ------
    PathsError, MismatchError, DataError
        As `accuracy`.
    SettingError
        If a filling is unknown, `others` or `seed` is not a whole number from 0, or `controls` not one from 1.
    """
    unknown = [filling for filling in fillings if filling not in FILLINGS]
    if unknown or not fillings:
        given = repr(unknown[0]) if unknown else "none"
        raise SettingError(f"fillings are {', '.join(map(repr, FILLINGS))}, found {given}")
    controls = whole_number("controls", controls, 1)
    rows, images = class_rows(paths, "ablation"), labelled(data, labels)
    questions = Questions.of(rows, images, others, seed)
    drawn = [paths.random_control(seed + draw) for draw in range(controls)]
    masks = dict(zip(MASKS, ([paths], [~paths], drawn), strict=True))
    kinds = [(name, filling) for name in masks for filling in fillings]
    found = answers(
        Predictor.of(network, paths, device),
        questions,
        images,
        [Variant(one, filling) for name, filling in kinds for one in masks[name]],
        title="ablation",
        seed=seed,
        show_progress=show_progress,
    )
    parts = _parts([1, *(len(masks[name]) for name, _ in kinds)])
    lowest = [min((worst(draw, paths.rows.names) for draw in found.balanced[part]), key=_value) for part in parts]
    each = [[found.mean(draw) for draw in found.balanced[part]] for part in parts]
    words = Wording.of(rows)
    damaged = left_out(images, len(questions.images), len(found.read))
    columns: dict[str, tuple[object, ...]] = {
        "mask": ("whole network", *(name for name, _ in kinds)),
        "dropped": ("", *(filling for _, filling in kinds)),
        "own": _means(found, found.own, parts),
        "false_accepts": _means(found, found.false_accepts, parts),
        "balanced": _means(found, found.balanced, parts),
        "balanced_lowest": tuple(map(min, each)),
        "balanced_highest": tuple(map(max, each)),
        "worst_balanced": tuple(value for value, _ in lowest),
        "worst": tuple(name for _, name in lowest),
    }
    first = 1 + kinds.index(("sub-architecture", fillings[0]))
    return Table(
        title=f"Other masks and other fillings, {origin(paths, images, found.read)}{damaged}"
        f"{without_images(paths, images, found.read)}{words.note}",
        columns=columns,
        meanings={
            "mask": f"random: as many channels of every site as the sub-architecture keeps, mean of {controls} draws",
            "dropped": "what dropped channels hold: zero, their mean, or their value for another image",
            "own": f"share of the {words.row}'s images called by {words.members}, mean",
            "false_accepts": f"share of the images of {words.others} that are too, mean",
            "balanced": f"mean of own and of the share of images of {words.others} that are refused",
            "balanced_lowest": "of single draws of random masks",
            "balanced_highest": "of single draws of random masks",
            "worst_balanced": f"of the {words.row} with the lowest, in any draw",
        },
        summary={
            "sub_architecture_balanced": columns["balanced"][first],  # type: ignore[dict-item]
            "sub_architecture_worst_balanced": lowest[first][0],
            "sub_architecture_dropped": fillings[0],
        },
    )


def _parts(counts: Sequence[int]) -> list[slice]:
    """Which answers belong to each row of the table."""
    ends = np.cumsum(counts).tolist()
    return [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]


def _means(found: Answers, values: np.ndarray, parts: Sequence[slice]) -> tuple[float, ...]:
    """Over draws, and then over rows with images."""
    return tuple(found.mean(values[part].mean(0)) for part in parts)


def _value(lowest: tuple[float, str]) -> float:
    return lowest[0]
