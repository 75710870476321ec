"""Which measures apply to a run, where none is asked for by name."""

from __future__ import annotations

from collections.abc import Sequence

from unweave.analysis.class_rows import class_rows
from unweave.paths import Paths
from unweave.pipeline.measures import LEAST_ROWS, MEASURES, NEEDS_IMAGES, ON_MOSAICS
from unweave.pipeline.subject import Excited, Subject, why_no_mosaics


def applicable(
    paths: Paths, *, images: bool, against: int = 0, beside: int = 0, excited: Excited | None = None
) -> list[str]:
    """The measures that can be taken of `paths`, with images to measure on or without, `against` runs to compare with,
    `beside` runs of other networks, and `excited` channels that are asked for."""
    rows = paths.rows
    inputs, classes = rows.kind == "input", len({label for label in rows.labels if label >= 0})
    single = all(len(members) == 1 for members in rows.members)
    with_images = images and rows.kind == "class"
    fits = {
        "filter_states": inputs,
        "embedding": inputs and 1 < classes < sum(label >= 0 for label in rows.labels),
        "clusters": rows.kind == "class",
        "stability": against > 0,
        **dict.fromkeys(NEEDS_IMAGES, with_images),
        "keep_curve": with_images and paths.scores is not None,
        "compare_interpretability": with_images and beside > 0,
        "exciting": with_images and excited is not None,
        "misjudgements": with_images and single,
        **dict.fromkeys(ON_MOSAICS, with_images and not why_no_mosaics(paths, None)),
    }
    return [name for name in MEASURES if fits.get(name, True) and len(paths) >= LEAST_ROWS.get(name, 0)]


def with_enough_images(names: Sequence[str], subject: Subject) -> list[str]:
    """Those of `names` for which enough rows have images, and of which mosaics can be made and read where they are
    needed."""
    if subject.images is None:
        return list(names)
    rows = class_rows(subject.paths, "this") if subject.paths.rows.kind == "class" else []
    count = sum(len(row.own(subject.images)) > 0 for row in rows)
    enough = [name for name in names if name not in NEEDS_IMAGES or count >= LEAST_ROWS.get(name, 0)]
    if not set(enough) & set(ON_MOSAICS) or _has_mosaics(subject):
        return enough
    return [name for name in enough if name not in ON_MOSAICS]


def _has_mosaics(subject: Subject) -> bool:
    """Whether mosaics can be made, and some of them read; of those that a user asked for, reading is seen to later."""
    if why_no_mosaics(subject.paths, subject.images):
        return False
    return bool(subject.mosaics or subject.mosaics_shown)
