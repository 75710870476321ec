"""The images that excite a channel most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor, image_batches, left_out
from unweave.data.inputs import evenly_spread
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import SiteError
from unweave.network.tapping import positions_of
from unweave.paths import Paths
from unweave.progress import progress
from unweave.tables import Table
from unweave.whole_numbers import whole_number


def exciting_images(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    channels: Mapping[str, Sequence[int]],
    *,
    labels: Sequence[int] | Tensor | None = None,
    count: int = 4,
    limit: int | None = None,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Table:
    """The `count` images that excite each of some channels most, in the untouched network.

    A channel's excitation by an image is its mean activation over positions, `mean_p h[channel, p]`. Of equal ones, the
    image that comes first in the data. Source: not in the papers; images that excite a channel most, as in Zeiler and
    Fergus (2014), by the mean over positions in place of the highest.

    Parameters
    ----------
    channels
        Channels by name of site, for example `{site: [c for c, _ in paths["cat"].top(site, 5)]}`.
    limit
        At most so many images, evenly spread; default: all.

    Returns
    -------
    Table
        `count` rows per channel, strongest first: `site`, `channel`, `rank` (from 1), `position` (of the image in the
        data), `label`, `activation` (mean over positions; the network's own unit).

    Raises
    ------
    SiteError
        If the paths have no such site, or a site no such channel.
    SettingError
        If `count` is below 1.
    MismatchError, DataError
        As `accuracy`.
    """
    count = whole_number("count", count, 1)
    sites = {site.name: site for site in paths.sites}
    for name, wanted in channels.items():
        if name not in sites:
            raise SiteError(f"the paths have no site {name!r}; they have {', '.join(list(sites)[:5])}")
        if wrong := [channel for channel in wanted if not 0 <= channel < sites[name].channels]:
            raise SiteError(f"site {name!r} has {sites[name].channels} channels, there is no channel {wrong[0]}")
    images = labelled(data, labels)
    predictor, where = Predictor.of(network, paths, device), evenly_spread(images, limit)
    wanted_at = {position: channels[site.name] for position, site in enumerate(paths.sites) if channels.get(site.name)}
    found: dict[int, list[np.ndarray]] = {position: [] for position in wanted_at}

    def tap(position: int, value: Tensor) -> Tensor:
        if position in wanted_at:
            dim = paths.sites[position].dim
            means = value.mean(positions_of(value, dim)) if value.ndim > 2 else value
            found[position].append(means[:, list(wanted_at[position])].float().cpu().numpy())
        return value

    read: list[np.ndarray] = []
    with progress("exciting images", len(where), show_progress) as advance, torch.inference_mode():
        for positions, batch in image_batches(images, where, advance):
            predictor.run(batch, tap)
            read.append(positions)
    damaged = left_out(images, len(where), sum(map(len, read)))
    seen = np.concatenate(read)
    rows: list[tuple[object, ...]] = []
    for position, wanted in wanted_at.items():
        excitation = np.concatenate(found[position])
        order = np.argsort(-excitation, axis=0, kind="stable")[:count]
        for column, channel in enumerate(wanted):
            for rank, row in enumerate(order[:, column], 1):
                image = int(seen[row])
                label, activation = int(images.labels[image]), float(excitation[row, column])
                rows.append((paths.sites[position].name, int(channel), rank, image, label, activation))
    names = ("site", "channel", "rank", "position", "label", "activation")
    return Table(
        title=f"Images that excite channels most, among {origin(paths, images, seen)}{damaged}",
        columns=dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ()),
        meanings={
            "rank": "1: the image that excites the channel most",
            "position": "of the image in the data",
            "activation": "of the channel, mean over positions, in the untouched network's own unit",
        },
    )
