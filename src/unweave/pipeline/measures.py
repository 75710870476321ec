"""The measures by name: compute, keep the table, draw the figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from unweave.analysis.accuracy import accuracy_histogram
from unweave.analysis.class_rows import class_rows
from unweave.analysis.embedding import classes_of_inputs, embedding
from unweave.analysis.hit_rate import MOSAICS
from unweave.analysis.keep_curve import check_scores
from unweave.analysis.mosaics import check_mosaics
from unweave.analysis.specificity import specificity
from unweave.analysis.states import filter_states
from unweave.analysis.usage import usage
from unweave.errors import DataError, PathsError, SettingError
from unweave.network.capture import captured_once
from unweave.paths import Paths
from unweave.pipeline import studies
from unweave.pipeline.exciting import measure_exciting
from unweave.pipeline.subject import Excited, Measured, Subject, others_asked
from unweave.runs.folder import RunFolder
from unweave.tables import Table


def _accuracy(subject: Subject, folder: RunFolder) -> Measured:
    from unweave.views.plots import plot_accuracy
    from unweave.views.style import save_figure

    table = subject.accuracy
    counts = accuracy_histogram(table)
    files = [*table.save(folder.table("accuracy")), *counts.save(folder.table("accuracy_histogram"))]
    files += save_figure(plot_accuracy(table), folder.figure("accuracy"))
    return Measured("accuracy", {"accuracy": table, "accuracy_histogram": counts}, files)


def _specificity(subject: Subject, folder: RunFolder) -> Measured:
    from unweave.views.plots import plot_specificity
    from unweave.views.style import save_figure

    network, images = subject.network_and_images("specificity")
    table = specificity(
        network,
        subject.paths,
        images,
        others=others_asked(len(subject.paths), len(images)),
        seed=subject.seed,
        device=subject.device,
        show_progress=subject.show_progress,
    )
    files = [*table.save(folder.table("specificity"))]
    files += save_figure(plot_specificity(table), folder.figure("specificity"))
    return Measured("specificity", {"specificity": table}, files)


def _usage(subject: Subject, folder: RunFolder) -> Measured:
    from unweave.views.plots import plot_usage
    from unweave.views.style import save_figure

    table = usage(subject.paths)
    files = [*table.save(folder.table("usage")), *save_figure(plot_usage(table), folder.figure("usage"))]
    return Measured("usage", {"usage": table}, files)


def _similarity(subject: Subject, folder: RunFolder) -> Measured:
    from unweave.views.plots import plot_similarity, plot_similarity_matrix
    from unweave.views.style import save_figure

    result, own = subject.similarity, subject.stability
    matrix = Table(
        title="Jaccard similarity, row by row, mean over sites",
        columns={"row": result.names, **{f"{i}": tuple(c) for i, c in enumerate(result.matrix.T.tolist())}},
        meanings={"row": "name of the row; the other columns are the rows again, by position"},
    )
    files = [*result.per_site.save(folder.table("similarity")), *matrix.save(folder.table("similarity_matrix"))]
    files += save_figure(plot_similarity(result, own), folder.figure("similarity"))
    files += save_figure(plot_similarity_matrix(result, own), folder.figure("similarity_matrix"))
    return Measured("similarity", {"similarity": result.per_site, "similarity_matrix": matrix}, files)


def _filter_states(subject: Subject, folder: RunFolder) -> Measured:
    from unweave.views.input_plots import plot_filter_states
    from unweave.views.style import save_figure

    table = filter_states(subject.paths)
    files = [*table.save(folder.table("filter_states"))]
    files += save_figure(plot_filter_states(table), folder.figure("filter_states"))
    return Measured("filter_states", {"filter_states": table}, files)


def _embedding(subject: Subject, folder: RunFolder) -> Measured:
    from unweave.views.input_plots import plot_embedding
    from unweave.views.style import save_figure

    result = embedding(subject.paths, seed=subject.seed)
    places = result.to_table()
    files = [*result.separation.save(folder.table("separation")), *places.save(folder.table("embedding"))]
    files += save_figure(plot_embedding(result), folder.figure("embedding"))
    return Measured("embedding", {"separation": result.separation, "embedding": places}, files)


MEASURES: dict[str, Callable[[Subject, RunFolder], Measured]] = {
    "accuracy": _accuracy,
    "specificity": _specificity,
    "ablation": studies.measure_ablation,
    "keep_curve": studies.measure_keep_curve,
    "stability": studies.measure_stability,
    "usage": _usage,
    "similarity": _similarity,
    "clusters": studies.measure_clusters,
    "interpretability": studies.measure_interpretability,
    "compare_interpretability": studies.measure_compare_interpretability,
    "hit_rate": studies.measure_hit_rate,
    "feature_maps": studies.measure_feature_maps,
    "exciting": measure_exciting,
    "misjudgements": studies.measure_misjudgements,
    "filter_states": _filter_states,
    "embedding": _embedding,
}
NEEDS_IMAGES = (
    *("accuracy", "specificity", "ablation", "keep_curve"),
    *("interpretability", "compare_interpretability", "hit_rate", "feature_maps", "exciting", "misjudgements"),
)
ON_MOSAICS = ("hit_rate", "feature_maps")
_OPTIONS = {
    **dict.fromkeys(("row", "site", "channels"), ("exciting",)),
    "mosaic": ("feature_maps",),
    **dict.fromkeys(("groups", "hierarchy"), ("clusters",)),
    "beside": ("compare_interpretability",),
    "against": ("stability", "similarity", "clusters", "interpretability", "misjudgements"),
}
"""Options of the command line that only some measures use: compute with, or draw in their figures."""
LEAST_ROWS = {
    **{"similarity": 2, "stability": 2, "filter_states": 2},
    **{"clusters": 3, "interpretability": 3, "compare_interpretability": 3, "misjudgements": 3},
    **{"hit_rate": 4, "feature_maps": 4},
}
"""How many rows a measure compares at least; those that need images: rows with images."""


def check_measures(names: Sequence[str]) -> None:
    """Refuse names that are not measures, before any work.

    Raises
    ------
    SettingError
    """
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise SettingError(f"no measure {unknown[0]!r}; there are {', '.join(MEASURES)}")


def check_options(names: Sequence[str], given: Mapping[str, object]) -> None:
    """Refuse options that none of the measures `names` uses, before any work; `given`: values by option, None or empty
    where it was not given.

    Raises
    ------
    SettingError
    """
    for option, measures in _OPTIONS.items():
        if given.get(option) not in (None, [], ()) and not any(name in names for name in measures):
            raise SettingError(f"--{option} is for --measure {' or '.join(measures)}, which is not measured here")
    for option in ("data", "device"):
        if given.get(option) is not None and not any(name in NEEDS_IMAGES for name in names):
            raise SettingError(f"--{option} is for measures that look at images, none of which is measured here")


def check_rows(
    names: Sequence[str], paths: Paths, *, against: int = 0, beside: int = 0, excited: Excited | None = None
) -> None:
    """Refuse measures that the rows of `paths` are not for, before any work; `against`: runs to compare with, `beside`:
    runs of other networks, `excited`: the channels that are asked for.

    Raises
    ------
    PathsError
        Saying what the rows are, or how many there are, or that they have no scores.
    SettingError
        If runs of other seeds or networks are needed and not there, or there and not needed.
    """
    for name in names:
        if name in NEEDS_IMAGES:
            class_rows(paths, name)
        if name == "embedding":
            classes_of_inputs(paths)
        if name == "keep_curve":
            check_scores(paths)
        if name == "exciting" and excited is None:
            raise SettingError("exciting shows what excites the channels of a row: name it with --row NAME")
        if name == "stability" and not against:
            raise SettingError("stability compares runs of other seeds: give them with --against RUN")
        if name == "compare_interpretability" and not beside:
            raise SettingError(
                "compare_interpretability compares networks: give finished runs of others with --beside RUN"
            )
        if len(paths) < LEAST_ROWS.get(name, 0):
            raise PathsError(f"{name} compares at least {LEAST_ROWS[name]} rows, there are {len(paths)}")


def check_places(folder: RunFolder) -> None:
    """Refuse a folder into which tables or figures cannot be written, before any work.

    Raises
    ------
    RunError
    """
    for stem in (folder.table("any"), folder.figure("any")):
        RunFolder(stem.parent).check_writable()


def check_subject(names: Sequence[str], subject: Subject) -> None:
    """Refuse what any of the measures `names` would refuse of `subject`, before any work; what masks alone tell is
    measured for that, and kept.

    Raises
    ------
    SettingError
        If a measure is unknown, or groups or distances do not fit the rows.
    PathsError
        If rows are not for a measure, or runs of other seeds do not fit.
    DataError
        If images are missing, or mosaics cannot be made or read.
    """
    check_measures(names)
    check_rows(names, subject.paths, against=len(subject.against), beside=len(subject.beside), excited=subject.excited)
    for name in set(names) & set(NEEDS_IMAGES):
        subject.network_and_images(name)
    if "clusters" in names:
        _ = subject.clusters
    if set(names) & set(_OPTIONS["against"]):
        _ = subject.stability
    if set(names) & set(ON_MOSAICS):
        check_mosaics(subject.paths, subject.images)
    if "feature_maps" in names and not subject.mosaics_shown:
        asked = f"mosaics {', '.join(map(str, subject.mosaics))}" if subject.mosaics else f"the first {MOSAICS} mosaics"
        raise DataError(f"each of {asked} has an image that cannot be read; mend the images, or leave feature_maps out")


@captured_once()
def run_measures(names: Sequence[str], subject: Subject, folder: RunFolder) -> list[Measured]:
    """Compute the measures called `names` and keep their tables and figures in `folder`.

    Raises
    ------
    SettingError, PathsError, DataError
        As `check_subject`, before anything is measured.
    """
    check_subject(names, subject)
    from unweave.views.lettering import numbered

    with numbered(subject.paths):
        return [MEASURES[name](subject, folder) for name in names]


def draw_elbow(paths: Paths, folder: RunFolder) -> list[Path]:
    """The sweep's chart, if the search chose its beta by the elbow."""
    sweep = paths.manifest.get("elbow")
    if not sweep:  # the others need not wait for matplotlib
        return []
    from unweave.views.plots import plot_elbow
    from unweave.views.style import save_figure

    return save_figure(plot_elbow(sweep), folder.figure("elbow"))
