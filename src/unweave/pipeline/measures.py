"""The measures by name: compute, keep the table, draw the figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from unweave.analysis.accuracy import accuracy, accuracy_histogram
from unweave.analysis.class_rows import class_rows
from unweave.analysis.embedding import classes_of_inputs, embedding
from unweave.analysis.similarity import similarity
from unweave.analysis.specificity import specificity
from unweave.analysis.states import filter_states
from unweave.analysis.usage import usage
from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, SettingError
from unweave.paths import Paths
from unweave.runs.folder import RunFolder
from unweave.tables import Table


@dataclass(frozen=True)
class Subject:
    """What is measured: paths, and, where a measure needs them, their network and images."""

    paths: Paths
    network: nn.Module | None
    images: LabelledImages | None
    seed: int = 0
    show_progress: bool | None = None
    device: str | None = None

    def network_and_images(self, measure: str) -> tuple[nn.Module, LabelledImages]:
        """Both, or the reason why not."""
        if self.network is None or self.images is None:
            raise DataError(f"{measure} needs images to measure on: give --data, or --validation when searching")
        return self.network, self.images


@dataclass(frozen=True)
class Measured:
    """What a measure left behind."""

    name: str
    tables: dict[str, Table]
    files: list[Path]


def _accuracy(subject: Subject, folder: RunFolder) -> Measured:
    from unweave.views.plots import plot_accuracy
    from unweave.views.style import save_figure

    network, images = subject.network_and_images("accuracy")
    table = accuracy(network, subject.paths, images, device=subject.device, show_progress=subject.show_progress)
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

    result = similarity(subject.paths)
    matrix = Table(
        title="Jaccard similarity, row by row, mean over sites",
        columns={"row": result.names, **{f"{i}": tuple(c) for i, c in enumerate(result.matrix.T.tolist())}},
        meanings={"row": "name of the row; the other columns are the rows again, by position"},
    )
    files = [*result.per_site.save(folder.table("similarity")), *matrix.save(folder.table("similarity_matrix"))]
    files += save_figure(plot_similarity(result), folder.figure("similarity"))
    files += save_figure(plot_similarity_matrix(result), folder.figure("similarity_matrix"))
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
    "usage": _usage,
    "similarity": _similarity,
    "filter_states": _filter_states,
    "embedding": _embedding,
}
NEEDS_IMAGES = ("accuracy", "specificity")


def check_measures(names: Sequence[str]) -> None:
    """Refuse names that are not measures, before any work.

    Raises
    ------
    SettingError
    """
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise SettingError(f"no measure {unknown[0]!r}; there are {', '.join(MEASURES)}")


def check_rows(names: Sequence[str], paths: Paths) -> None:
    """Refuse measures that the rows of `paths` are not for, before any work.

    Raises
    ------
    PathsError
        Saying what the rows are.
    """
    for name in names:
        if name in NEEDS_IMAGES:
            class_rows(paths, name)
        if name == "embedding":
            classes_of_inputs(paths)


def applicable(paths: Paths, *, images: bool) -> list[str]:
    """The measures that can be taken of `paths`, with images to measure on or without."""
    rows = paths.rows
    inputs, classes = rows.kind == "input", len({label for label in rows.labels if label >= 0})
    fits = {
        "similarity": len(paths) > 1,
        "filter_states": inputs and len(paths) > 1,
        "embedding": inputs and 1 < classes < sum(label >= 0 for label in rows.labels),
        **dict.fromkeys(NEEDS_IMAGES, images and rows.kind == "class"),
    }
    return [name for name in MEASURES if fits.get(name, True)]


def check_places(folder: RunFolder) -> None:
    """Refuse a folder into which tables or figures cannot be written, before any work.

    Raises
    ------
    RunError
    """
    for stem in (folder.table("any"), folder.figure("any")):
        RunFolder(stem.parent).check_writable()


def run_measures(names: Sequence[str], subject: Subject, folder: RunFolder) -> list[Measured]:
    """Compute the measures called `names` and keep their tables and figures in `folder`."""
    check_measures(names)
    check_rows(names, subject.paths)
    for name in set(names) & set(NEEDS_IMAGES):
        subject.network_and_images(name)
    return [MEASURES[name](subject, folder) for name in names]


def draw_elbow(paths: Paths, folder: RunFolder) -> list[Path]:
    """The sweep's chart, if the search chose its beta by the elbow."""
    from unweave.views.plots import plot_elbow
    from unweave.views.style import save_figure

    sweep = paths.manifest.get("elbow")
    return save_figure(plot_elbow(sweep), folder.figure("elbow")) if sweep else []
