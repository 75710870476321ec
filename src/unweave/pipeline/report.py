"""`report`: one HTML file about the sub-architectures of a network, and whether they are what they seem."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from unweave.analysis.class_rows import class_rows
from unweave.analysis.exciting import exciting_images
from unweave.analysis.misjudgements import Misjudgements, misjudgements
from unweave.analysis.origin import seen
from unweave.analysis.specificity import specificity
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import SettingError
from unweave.files import write_text
from unweave.network.capture import captured_once
from unweave.network.shared_copy import unwrapped
from unweave.paths import Paths
from unweave.pipeline.groups import Groups
from unweave.pipeline.report_channels import channels_with_images, in_words
from unweave.pipeline.report_done import what_was_done
from unweave.pipeline.report_sections import IMAGES_SEARCHED, Measuring, sections_of, shared_by, single_classes
from unweave.pipeline.subject import others_asked, remembering
from unweave.places import place
from unweave.runs.folder import RunFolder
from unweave.tables import Table
from unweave.whole_numbers import whole_number

_MISJUDGED = 24


def report(
    run: str | Path | Paths,
    network: nn.Module | None = None,
    data: Data | LabelledImages | None = None,
    *,
    file: str | Path | None = None,
    labels: Sequence[int] | Tensor | None = None,
    against: Sequence[Paths] = (),
    mosaics: int = 200,
    others: int | None = None,
    groups: Groups | None = None,
    distances: np.ndarray | None = None,
    seed: int | None = None,
    data_names: Mapping[str, str] | None = None,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Path:
    """Write a report on sub-architectures: one HTML file that opens without a network connection.

    It begins with four lines (does each sub-architecture answer its class, refuse the others, beat random masks of its
    size, stay the same across seeds?), says what was done, and shows the channels of every class site by site with who
    shares them and what excites them, controls (complements, other fillings, the keep curve), similarity and clusters,
    hit rates, feature maps, and images that the network misjudges. What cannot be measured is said, not left out in
    silence. An old file stays until the new one is whole.

    Parameters
    ----------
    run
        Paths of classes, with `network` and `data`; or the folder of a search by the command line, which knows them.
    network, data
        What the paths were found in, and labelled images to measure on that the search has not seen.
    file
        Where to write; default: `report.html`, in the run's folder or here.
    against
        Paths of the same classes, found with other seeds.
    mosaics
        For the hit rate; 0 leaves it out. The page says why where they cannot be made or read.
    others
        At most so many images of other classes that each row is asked about; default: all, or as many as make two
        million questions of all rows. The controls take at most 100, of at most 100 rows.
    groups
        Group name: its classes, as class indices or names of rows, for the clusters.
    distances
        `[rows, rows]`, as `wordnet_distances` gives them: the clusters are compared with this hierarchy.
    seed
        Of mosaics and random masks; default: the run's, or 0.
    data_names
        What the page calls the data: of the `search` and of the `measures`. Default: what was typed for a run.

    Raises
    ------
    PathsError
        If rows are inputs, or runs of other seeds do not fit (as `stability`).
    SettingError
        If network or data are missing, `mosaics` or `seed` is negative, `others` below 1, or `data_names` are
        of something else, or `groups` or `distances` do not fit the rows.
    MismatchError, DataError
        As `accuracy`.
    """
    from unweave.views.report.render import render

    _check_numbers(mosaics, others, seed)
    named = dict(data_names or {})
    if unknown := named.keys() - {"search", "measures"}:
        raise SettingError(f"data_names are of 'search' and 'measures', found {sorted(unknown)[0]!r}")
    if not isinstance(run, Paths):
        from unweave.pipeline.inputs import recorded_inputs

        folder = RunFolder(run)
        inputs, recorded_seed = recorded_inputs(folder)
        seed = recorded_seed if seed is None else seed
        paths = Paths.load(folder.finished_paths())
        network = inputs.network() if network is None else network
        named = {"search": inputs.train or "", **named}
        if data is None and inputs.validation is not None:
            named = {"measures": inputs.validation, **named}
            data = inputs.images(inputs.validation, network, train=False)
        target = place(file) if file is not None else folder.root / "report.html"
    else:
        paths, target = run, place(file or "report.html")
    if network is None or data is None:
        raise SettingError("a report needs the network and labelled images: report(paths, network, data), or --data")
    class_rows(paths, "a report")
    images = remembering(labelled(data, labels))
    options: dict[str, Any] = {"device": device, "show_progress": show_progress}
    asked = others_asked(len(paths), len(images)) if others is None else others
    measuring = Measuring(network, images, mosaics, asked, seed or 0, groups, distances, named, options)
    return write_text(target, render(gather(paths, measuring, against)))


def _check_numbers(mosaics: int, others: int | None, seed: int | None) -> None:
    for name, least, value in (("mosaics", 0, mosaics), ("others", 1, others), ("seed", 0, seed)):
        if value is not None:
            whole_number(name, value, least)


@captured_once()
def gather(paths: Paths, measuring: Measuring, against: Sequence[Paths]) -> Any:
    """All measures of a report, as `unweave.views.report.content.Content`."""
    from unweave.views.lettering import numbers_of
    from unweave.views.report.content import Content
    from unweave.views.report.flow import flow_data
    from unweave.views.report.verdicts import verdicts

    network, images, seed, options = measuring.network, measuring.images, measuring.seed, measuring.options
    sizes = np.array([site.channels for site in paths.sites])
    called = str(paths.manifest.get("model") or type(unwrapped(network)).__name__)
    shared = shared_by(paths, measuring, against)  # first: it refuses groups and runs that do not fit in no time
    found = specificity(network, paths, images, others=measuring.others, seed=seed, **options)
    chosen = channels_with_images(paths)
    excited = exciting_images(network, paths, images, chosen, limit=IMAGES_SEARCHED, **options)
    wrong = misjudgements(network, paths, images, seed=seed, **options) if single_classes(paths) else None
    pictures = _addresses(images, list(dict.fromkeys(excited["position"])))
    return Content(
        title=f"Sub-architectures of {called}",
        verdicts=verdicts(found, float((paths.kept().mean(0) * sizes).sum() / sizes.sum()), shared.stable),
        done=[("network", called), *what_was_done(paths, found, measuring, against)],
        flow=flow_data(paths, excited, pictures, shared.stable),
        pictured=in_words(paths, chosen, bool(pictures)),
        classes=_class_table(found),
        sections=sections_of(paths, measuring, found, shared, wrong),
        misjudged=_misjudged(wrong, images),
        numbers=numbers_of(paths),
        warning=_seen(paths, images),
    )


def _seen(paths: Paths, images: LabelledImages) -> str:
    """A warning where the search saw the images that the report measures on."""
    count = seen(paths, images, np.arange(len(images)))
    if not count:
        return ""
    which = "All" if count == len(images) else f"{count} of the"
    return (
        f"{which} {len(images)} images that were measured on are images that the search saw: the answers say how well "
        "the masks fit these, not what holds for new images. Give others (--data)."
    )


def _addresses(images: LabelledImages, positions: Sequence[int]) -> dict[int, str]:
    from unweave.views.report.pictures import image_address

    found: dict[int, str] = {}
    for start in range(0, len(positions), 64):
        part = list(positions[start : start + 64])
        batch = images.images(part)
        if batch.ndim == 4:
            found |= {position: image_address(image) for position, image in zip(part, batch, strict=True)}
    return found


def _class_table(found: Table) -> tuple[list[str], list[list[str]]]:
    heads = {"name": "class", "against": "against", "own": "own", "false_accepts": "false", "balanced": "balanced"}
    for prefix, words in (("original", "whole"), ("random", "random")):
        heads |= {
            f"{prefix}_own": f"{words}: own",
            f"{prefix}_false_accepts": "false",
            f"{prefix}_balanced": "balanced",
        }
    known = {column: head for column, head in heads.items() if column in found.columns}
    rows = [[_cell(found[column][row]) for column in known] for row in range(len(found))]
    return list(known.values()), rows


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "no images" if math.isnan(value) else f"{100 * value:.1f}"
    return str(value)


def _misjudged(wrong: Misjudgements | None, images: LabelledImages) -> list[Any]:
    """Some of the misjudged images, evenly spread."""
    from unweave.views.report.content import Misjudged

    if wrong is None or not len(wrong.images):
        return []
    table = wrong.images
    picked = np.unique(np.linspace(0, len(table) - 1, min(_MISJUDGED, len(table))).round().astype(int)).tolist()
    addresses = _addresses(images, [table["position"][row] for row in picked])
    return [
        Misjudged(
            addresses[table["position"][row]],
            str(table["label"][row]),
            str(table["prediction"][row]),
            float(table["similarity"][row]),
            float(table["rank"][row]),
        )
        for row in picked
        if table["position"][row] in addresses
    ]
