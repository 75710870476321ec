"""`report`: one HTML file about the sub-architectures of a network, and whether they are what they seem."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from unweave.analysis.class_rows import class_rows
from unweave.analysis.clusters import cluster
from unweave.analysis.exciting import exciting_images
from unweave.analysis.feature_maps import feature_maps
from unweave.analysis.hit_rate import hit_rate
from unweave.analysis.misjudgements import Misjudgements, misjudgements
from unweave.analysis.similarity import similarity
from unweave.analysis.specificity import specificity
from unweave.analysis.stability import Stability, stability
from unweave.analysis.usage import usage
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import SettingError
from unweave.files import write_text
from unweave.network.shared_copy import unwrapped
from unweave.paths import Paths
from unweave.pipeline.subject import others_asked
from unweave.runs.folder import RunFolder
from unweave.tables import Table

_SITES_WITH_IMAGES = 3
_CHANNELS_WITH_IMAGES = 240
_IMAGES_SEARCHED = 2000
_MISJUDGED = 24
_MOST_FOR_PAIRS = 60
"""Up to so many rows, figures name every one."""


def report(
    run: str | Path | Paths,
    network: nn.Module | None = None,
    data: Data | LabelledImages | None = None,
    *,
    file: str | Path | None = None,
    labels: Sequence[int] | Tensor | None = None,
    against: Sequence[Paths] = (),
    mosaics: int = 200,
    seed: int = 0,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Path:
    """Write a report on sub-architectures: one HTML file that opens without a network connection.

    It begins with four lines (does each sub-architecture answer its class, refuse the others, beat random masks of its
    size, stay the same across seeds?), says what was done, and shows the channels of every class site by site with who
    shares them and what excites them, similarity and clusters, hit rates, feature maps, and images that the network
    misjudges. What cannot be measured is said, not left out in silence. An old file stays until the new one is whole.

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
        For the hit rate; at least four classes need images, else it is left out, and 0 leaves it out.
    seed
        Of mosaics and random masks.

    Raises
    ------
    PathsError
        If rows are inputs.
    SettingError
        If network or data are missing.
    MismatchError, DataError
        As `accuracy`.
    """
    from unweave.views.report.render import render

    if not isinstance(run, Paths):
        from unweave.pipeline.inputs import recorded_inputs

        folder = RunFolder(run)
        inputs, seed = recorded_inputs(folder)
        paths = Paths.load(folder.finished_paths())
        network = inputs.network() if network is None else network
        if data is None and inputs.validation is not None:
            data = inputs.images(inputs.validation, network, train=False)
        target = Path(file) if file is not None else folder.root / "report.html"
    else:
        paths, target = run, Path(file or "report.html")
    if network is None or data is None:
        raise SettingError("a report needs the network and labelled images: report(paths, network, data), or --data")
    class_rows(paths, "a report")
    images = labelled(data, labels)
    options: dict[str, Any] = {"device": device, "show_progress": show_progress}
    content = gather(paths, network, images, against=against, mosaics=mosaics, seed=seed, options=options)
    return write_text(target, render(content))


def gather(
    paths: Paths,
    network: nn.Module,
    images: LabelledImages,
    *,
    against: Sequence[Paths],
    mosaics: int,
    seed: int,
    options: Mapping[str, Any],
) -> Any:
    """All measures of a report, as `unweave.views.report.content.Content`."""
    from unweave.views.report.content import Content
    from unweave.views.report.flow import flow_data
    from unweave.views.report.verdicts import verdicts

    called = str(paths.manifest.get("model") or type(unwrapped(network)).__name__)
    others = others_asked(len(paths), len(images))
    found = specificity(network, paths, images, others=others, seed=seed, **options)
    stable = stability([paths, *against]) if against else None
    shares = paths.kept().mean(0)
    sizes = np.array([site.channels for site in paths.sites])
    excited = exciting_images(network, paths, images, _chosen(paths), limit=_IMAGES_SEARCHED, **options)
    wrong = misjudgements(network, paths, images, seed=seed, **options) if _single(paths) else None
    shown = list(dict.fromkeys(excited["position"]))
    return Content(
        title=f"Sub-architectures of {called}",
        verdicts=verdicts(found, float((shares * sizes).sum() / sizes.sum()), stable),
        done=[("network", called), *_done(paths, found, seed, len(against))],
        flow=flow_data(paths, excited, _addresses(images, shown)),
        classes=_class_table(found),
        sections=_sections(paths, network, images, found, stable, wrong, mosaics, seed, options),
        misjudged=_misjudged(wrong, images),
    )


def _single(paths: Paths) -> bool:
    return len(paths) >= 3 and all(len(members) == 1 for members in paths.rows.members)


def _chosen(paths: Paths) -> dict[str, list[int]]:
    """Channels whose images are shown: of the last sites, those with the highest scores of every row in turn."""
    names = list(paths.sites.names)[-_SITES_WITH_IMAGES:]
    each = _CHANNELS_WITH_IMAGES // max(1, len(names))
    chosen = {}
    for name in names:
        kept = paths.masks[name]
        strength = (paths.scores or {}).get(name, kept.float()).float().masked_fill(~kept, -math.inf)
        order = strength.sort(dim=1, descending=True, stable=True).indices.tolist()
        most = int(kept.sum(1).max())
        ranked = [order[row][rank] for rank in range(most) for row in range(len(paths)) if kept[row, order[row][rank]]]
        chosen[name] = list(dict.fromkeys(ranked))[:each]
    return chosen


def _addresses(images: LabelledImages, positions: Sequence[int]) -> dict[int, str]:
    from unweave.views.report.pictures import image_address

    found: dict[int, str] = {}
    for start in range(0, len(positions), 64):
        part = list(positions[start : start + 64])
        batch = images.images(part)
        if batch.ndim == 4:
            found |= {position: image_address(image) for position, image in zip(part, batch, strict=True)}
    return found


def _done(paths: Paths, found: Table, seed: int, others: int) -> list[tuple[str, str]]:
    """What was done, as the manifest tells it."""
    manifest, sites = paths.manifest, paths.sites
    settings, network = dict(manifest.get("settings", {})), manifest.get("network", {})
    digest = str(network.get("digest", ""))[:16] if isinstance(network, Mapping) else ""
    versions = manifest.get("versions", {})
    told = [
        ("shape of an image", str(tuple(sites.image_shape))),
        ("weights (digest)", digest),
        ("method", str(manifest.get("method", "unknown"))),
        ("rows", f"{len(paths)}: " + ", ".join(paths.rows.names[:8]) + (", ..." if len(paths) > 8 else "")),
        ("sites", f"{len(sites)}, {sum(site.channels for site in sites)} channels"),
        ("settings", ", ".join(f"{name} {_said(value)}" for name, value in settings.items() if _worth_saying(value))),
        ("seed of the search", str(manifest.get("seed", "unknown"))),
        ("seed of the measures", str(seed)),
        ("searches with other seeds", str(others) if others else "none given"),
        ("measured on", found.title),
        ("versions", ", ".join(f"{name} {value}" for name, value in dict(versions).items())),
    ]
    return [(name, value) for name, value in told if value]


def _worth_saying(value: object) -> bool:
    """Not what was left empty: no groups, no opponents."""
    if isinstance(value, list | tuple | dict):
        return any(_worth_saying(one) for one in (value.values() if isinstance(value, dict) else value))
    return value is not None


def _said(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"({len(value)} values)" if len(value) > 12 else "(" + ", ".join(map(_said, value)) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _class_table(found: Table) -> tuple[list[str], list[list[str]]]:
    heads = {"name": "class", "own": "own", "false_accepts": "false"}
    heads |= {"original_own": "whole: own", "original_false_accepts": "false"}
    heads |= {"random_own": "random: own", "random_false_accepts": "false"}
    known = {column: head for column, head in heads.items() if column in found.columns}
    rows = [[_cell(found[column][row]) for column in known] for row in range(len(found))]
    return list(known.values()), rows


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "no images" if math.isnan(value) else f"{100 * value:.1f}"
    return str(value)


def _sections(
    paths: Paths,
    network: nn.Module,
    images: LabelledImages,
    found: Table,
    stable: Stability | None,
    wrong: Misjudgements | None,
    mosaics: int,
    seed: int,
    options: Mapping[str, Any],
) -> list[Any]:
    from unweave.views.cluster_plots import plot_clusters
    from unweave.views.control_plots import plot_stability
    from unweave.views.misjudgement_plots import plot_misjudgements
    from unweave.views.mosaic_plots import plot_feature_maps, plot_hit_rate
    from unweave.views.plots import plot_similarity, plot_specificity, plot_usage
    from unweave.views.report.content import Picture, Section

    few = len(paths) <= _MOST_FOR_PAIRS
    sections = []
    if few:
        pictures = [Picture(plot_specificity(found), "own-class accuracy and false accepts of every class")]
        sections.append(Section("Its own class, and the others", "", pictures))
    pictures = [Picture(plot_usage(usage(paths)), "share of channels kept at every site")]
    if len(paths) > 1:
        alike = similarity(paths)
        pictures.append(Picture(plot_similarity(alike, stable), "similarity of sub-architectures at every site"))
        if len(paths) > 2:
            line = float(stable.per_site.summary["self_similarity"]) if stable is not None else None
            described = "similarity of every two classes, in the order of a hierarchical clustering"
            pictures.append(Picture(plot_clusters(cluster(alike), own_similarity=line), described))
    if stable is not None:
        pictures.append(Picture(plot_stability(stable), "similarity of a class to itself under other seeds"))
    sections.append(Section("What classes share", "", pictures))
    whole = paths.sites.image_shape
    with_images = sum(bool(len(row.own(images))) for row in class_rows(paths, "a report"))
    if mosaics and len(whole) == 3 and with_images >= 4:
        rates = hit_rate(network, paths, images, mosaics=mosaics, seed=seed, **options)
        maps = feature_maps(network, paths, images, chosen=(0,), seed=seed, device=options.get("device"))
        pictures = [
            Picture(plot_hit_rate(rates), "hit rate at every site"),
            Picture(plot_feature_maps(maps), "the most active pixels of a mosaic at some sites"),
        ]
        sections.append(Section("Where in the image it looks", "", pictures))
    elif mosaics:
        sections.append(Section("Where in the image it looks", "Not measured: it needs pictures of four classes."))
    if wrong is not None and wrong.classes.summary["classes_compared"]:
        pictures = [Picture(plot_misjudgements(wrong), "similarity to wrong labels, and to other labels")]
        sections.append(Section("Why the network errs", "", pictures))
    elif wrong is not None:
        sections.append(
            Section("Why the network errs", "It misjudges none of these images, so there is nothing to compare.")
        )
    return sections


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
            int(table["rank"][row]),
        )
        for row in picked
        if table["position"][row] in addresses
    ]
