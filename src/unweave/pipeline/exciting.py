"""The images that excite the channels of some rows most, as a measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from unweave.analysis.exciting import exciting_images
from unweave.errors import PathsError, SettingError
from unweave.paths import Paths
from unweave.pipeline.subject import Excited, Measured, Subject
from unweave.runs.folder import RunFolder
from unweave.tables import Table

CHANNELS, IMAGES = 5, 6


def excited_of(
    rows: Sequence[str] | None, sites: Sequence[str] | None, channels: int | None, paths: Paths
) -> Excited | None:
    """The channels that `rows` (names, or class indices) rank highest at `sites` (default: the last one); None where no
    row is asked for.

    Raises
    ------
    RowError, PathsError
        If there is no such row or site, or the paths have no scores.
    SettingError
        If fewer than one channel is asked for.
    """
    if not rows:
        return None
    if channels is not None and channels < 1:
        raise SettingError(f"--channels must be at least 1, found {channels}")
    if paths.scores is None:
        raise PathsError(
            "exciting ranks channels by their scores, which these paths do not have (set operations and from_masks "
            "drop them); take those of a search"
        )
    places = tuple(dict.fromkeys(sites or paths.sites.names[-1:]))
    found = tuple(dict.fromkeys(_position(row, paths) for row in rows))
    for site in places:
        paths[found[0]].top(site, 1)  # names the closest site, if there is none of this name
    return Excited(found, places, channels or CHANNELS)


def _position(row: str, paths: Paths) -> int:
    """A number is a class index, unless a row has that name."""
    if row not in paths.rows.names and row.isascii() and row.isdigit() and int(row) in paths.rows.classes:
        return paths.rows.classes.index(int(row))
    if (times := paths.rows.names.count(row)) > 1:
        raise PathsError(f"{times} rows are named {row!r}; give the class index")
    paths.select([row])  # names the closest row, if there is none of this name
    return paths.rows.names.index(row)


def measure_exciting(subject: Subject, folder: RunFolder) -> Measured:
    """A table of all rows' channels, and a figure a row."""
    from unweave.views.exciting_plots import plot_exciting
    from unweave.views.style import save_figure

    network, images = subject.network_and_images("exciting")
    excited, paths = subject.excited, subject.paths
    assert excited is not None
    wanted = {site: sorted({one[2] for one in _ranked(paths, excited) if one[1] == site}) for site in excited.sites}
    found = exciting_images(
        network,
        paths,
        images,
        wanted,
        count=IMAGES,
        device=subject.device,
        show_progress=subject.show_progress,
    )
    names = [images.name_of(label) for label in found["label"]]
    table = _table(paths, excited, found, names)
    files = table.save(folder.table("exciting"))
    if len(paths.sites.image_shape) == 3:
        shown = list(dict.fromkeys(found["position"]))
        pictures = dict(zip(shown, images.images(shown), strict=True))
        for row in excited.rows:
            own = _table(paths, replace(excited, rows=(row,)), found, names)  # rows may have the same name
            figure = plot_exciting(own, paths.rows.names[row], pictures)
            files += save_figure(figure, folder.figure(f"exciting_{row}"))
    return Measured("exciting", {"exciting": table}, files)


def _ranked(paths: Paths, excited: Excited) -> Iterator[tuple[int, str, int, float]]:
    """(row, site, channel, score), the highest score first."""
    for row in excited.rows:
        for site in excited.sites:
            for channel, score in paths[row].top(site, excited.channels):
                yield row, site, channel, score


def _table(paths: Paths, excited: Excited, found: Table, names: Sequence[str]) -> Table:
    images: dict[tuple[str, int], list[int]] = {}
    for place, channel in enumerate(zip(found["site"], found["channel"], strict=True)):
        images.setdefault(channel, []).append(place)
    rows = paths.rows
    lines = [
        (rows.classes[row], rows.names[row], site, channel, score, bool(paths.masks[site][row, channel]), place)
        for row, site, channel, score in _ranked(paths, excited)
        for place in images[site, channel]
    ]
    classes, called, sites, channels, scores, kept, places = zip(*lines, strict=True)
    of_images = {name: tuple(found[name][place] for place in places) for name in ("rank", "position", "activation")}
    return Table(
        found.title,
        {
            **{"class": classes, "row": called, "site": sites, "channel": channels, "score": scores, "kept": kept},
            **{"label": tuple(names[place] for place in places), **of_images},
        },
        {
            "class": "index; -1 for a group of several classes",
            "score": "of the channel for the row",
            "kept": "whether its mask has the channel",
            "label": "the image's class",
            **found.meanings,
        },
    )
