"""Whether sub-architectures find their class in mosaics of four images (ICCV Fig. 3 and Fig. 4, second row)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from unweave.analysis.class_rows import class_rows, without_images
from unweave.analysis.mosaics import (
    Mosaics,
    draw_mosaics,
    pictures,
    share_in_quadrant,
    summed_channels,
    top_pixels,
)
from unweave.analysis.origin import origin
from unweave.analysis.predictions import Predictor
from unweave.data.labelled import Data, LabelledImages, labelled
from unweave.errors import DataError, SettingError
from unweave.network.sites import Site
from unweave.network.tapping import Multiplier
from unweave.paths import Paths
from unweave.progress import progress
from unweave.tables import Table

CHANCE = 0.25
MOSAICS = 1000


def hit_rate(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    *,
    labels: Sequence[int] | Tensor | None = None,
    mosaics: int = MOSAICS,
    share: float = 0.05,
    resize: bool = True,
    seed: int = 0,
    device: str | None = None,
    show_progress: bool | None = None,
) -> Table:
    """Hit rate on seeded mosaics: how much of what a sub-architecture is most active on lies on its own class.

    A mosaic is four images of four different classes, tiled 2 x 2 and resized to the network's input size. It goes
    through the sub-architectures (binary masks) of each of its four classes. At each site the channels are summed, the
    map is resized to the input size (bilinear), and the highest 5 % of its pixels are kept: with `T` these pixels and
    `Q` the quadrant of the class, `hit = |T and Q| / |T|`. The hit rate is the mean over classes and mosaics.

    Pixels tied at the threshold count in equal fractions, and a constant map counts 0.25; so any mask that does not
    depend on the class (the whole network, for one) has a hit rate of exactly 0.25. Source: ICCV section 4.2.2, Fig. 3
    and 4. (The authors' program takes 100 mosaics, 10 % of the pixels and bicubic maps of 8 bits.)

    Parameters
    ----------
    mosaics
        How many; drawn by (seed, number of the mosaic).
    share
        Share of the pixels that are kept, above 0 and below 1.
    resize
        Without it the network sees mosaics of twice the height and width, which only a fully convolutional one takes.

    Returns
    -------
    Table
        One row per site, in forward order: `site`, `positions` (height x width of its map), `hit_rate` (a share; NaN
        where the site has no positions), `standard_error` (over mosaics). The summary has the best site and the number
        of mosaics.

    Raises
    ------
    PathsError, MismatchError
        As `accuracy`; also if two rows share a class.
    DataError
        If fewer than four rows have images, the images are no pictures, or none can be read.
    SettingError
        If a setting cannot be used.
    CaptureError
        If the network does not take mosaics that are not resized.
    """
    if not 0 < share < 1:
        raise SettingError(f"share must be above 0 and below 1, found {share}")
    rows = class_rows(paths, "the hit rate")
    images = labelled(data, labels)
    drawn = draw_mosaics(rows, images, mosaics, seed)
    shape = paths.sites.image_shape
    shown = shape if resize else (*shape[:-2], 2 * shape[-2], 2 * shape[-1])
    predictor = Predictor.of(network, paths, device, shown)
    hits = np.full((len(drawn), len(paths.sites)), np.nan)
    grids = [""] * len(paths.sites)
    read = np.zeros(len(drawn), dtype=bool)
    with progress("hit rate", len(drawn), show_progress) as advance:
        for numbers, batch in pictures(drawn, images, resize=resize, advance=advance):
            read[numbers] = True
            counting = _Counting.of(predictor, drawn.take(numbers), batch, share)
            predictor.run(batch.repeat_interleave(4, 0), counting)
            for position, found in counting.found.items():
                hits[numbers, position] = found.view(-1, 4).mean(1).cpu().double().numpy()
                grids[position] = counting.grids[position]
    if not read.any():
        raise DataError(f"each of the {len(drawn)} mosaics has an image that cannot be read")
    return _table(paths, images, drawn, hits, grids, read)


@dataclass
class _Counting:
    """A tap that gates like its `gate`, and counts the hits of every image at every site that has positions."""

    gate: Multiplier
    sites: Sequence[Site]
    quadrants: Tensor
    size: tuple[int, int]
    share: float
    found: dict[int, Tensor] = field(default_factory=dict)
    grids: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, predictor: Predictor, mosaics: Mosaics, batch: Tensor, share: float) -> _Counting:
        quadrants = torch.arange(4, device=predictor.device).repeat(len(mosaics))
        height, width = batch.shape[-2:]
        gate = predictor.gates_of(mosaics.rows.reshape(-1), batch)
        return cls(gate, predictor.tapped.sites, quadrants, (height, width), share)

    def __call__(self, position: int, value: Tensor) -> Tensor:
        gated = self.gate(position, value)
        maps = summed_channels(gated, self.sites[position])
        if maps is not None:
            self.found[position] = share_in_quadrant(top_pixels(maps, self.size, self.share), self.quadrants)
            self.grids[position] = f"{maps.shape[1]} x {maps.shape[2]}"
        return gated


def _table(
    paths: Paths, images: LabelledImages, mosaics: Mosaics, hits: np.ndarray, grids: list[str], read: np.ndarray
) -> Table:
    count = int(read.sum())
    means = hits[read].mean(0)
    errors = hits[read].std(0, ddof=1) / np.sqrt(count) if count > 1 else np.full(len(means), np.nan)
    where = origin(paths, images, np.unique(mosaics.images[read]))
    lost = f"; {len(mosaics) - count} with a damaged image left out" if count < len(mosaics) else ""
    known = ~np.isnan(means)
    return Table(
        title=f"Hit rate on {count} mosaics, {where}{lost}{without_images(paths, images)}",
        columns={
            "site": paths.sites.names,
            "positions": tuple(grids),
            "hit_rate": tuple(means.tolist()),
            "standard_error": tuple(errors.tolist()),
        },
        meanings={
            "positions": "height x width of the site's map; empty where it has none",
            "hit_rate": "share of the most active pixels that lie on the image of the sub-architecture's class; 0.25 "
            "is what a mask that does not depend on the class has",
            "standard_error": "of the hit rate, over mosaics",
        },
        summary={
            "mosaics": count,
            "best": float(means[known].max()) if known.any() else float("nan"),
            "best_site": paths.sites.names[int(np.nanargmax(means))] if known.any() else "",
        },
    )
