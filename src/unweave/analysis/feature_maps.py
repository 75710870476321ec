"""What sub-architectures look at in mosaics, beside the whole network (ICCV Fig. 4, rows 3 and 4; preprint Fig. 5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from unweave.analysis.class_rows import class_rows
from unweave.analysis.mosaics import (
    QUADRANTS,
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
from unweave.network.tapping import Multiplier
from unweave.paths import Paths
from unweave.tables import Table
from unweave.whole_numbers import whole_number


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """`mosaics` `[count, channels, height, width]`, as the network takes them. `kept`
    `[count, 4, 2, sites, height, width]`: the weights in [0, 1] of the most active pixels, for each quadrant's class,
    through its sub-architecture (0) and through the whole network (1); NaN at sites without positions. `classes[i][q]`
    names the class in quadrant `q` of mosaic `i`. `hits`: the share on the right quadrant, a row a mosaic, class and
    site."""

    mosaics: Tensor
    kept: np.ndarray
    classes: tuple[tuple[str, ...], ...]
    sites: tuple[str, ...]
    hits: Table

    def __len__(self) -> int:
        return len(self.mosaics)

    def to_frame(self) -> object:
        """The table of hits as a pandas frame."""
        return self.hits.to_frame()


def feature_maps(
    network: nn.Module,
    paths: Paths,
    data: Data | LabelledImages,
    *,
    labels: Sequence[int] | Tensor | None = None,
    chosen: Sequence[int] | np.ndarray | Tensor = (0, 1),
    share: float = 0.05,
    seed: int = 0,
    device: str | None = None,
) -> FeatureMaps:
    """The most active pixels at every site, through a class's sub-architecture and through the whole network.

    Maps are made as for `hit_rate`, and the mosaics are its own: number `i` of the same seed. What the whole network
    looks at does not depend on the class. Source: ICCV Fig. 4 (rows 3, 4) and Fig. 7-16, preprint Fig. 1 and 5.

    Parameters
    ----------
    chosen
        Numbers of mosaics, from 0, at least one: a sequence, an array or a tensor of whole numbers.
    share
        Share of the pixels that are kept, above 0 and below 1.
    seed
        Of the mosaics.

    Returns
    -------
    FeatureMaps
        `mosaics` `[count, channels, height, width]`, those without a damaged image, in the order of `chosen`; `kept`
        `[count, 4, 2, sites, height, width]`, from 0 to 1, NaN at sites without positions. `classes` and `sites` are
        names. `hits`: one row per mosaic, quadrant and site: `mosaic` (its number), `quadrant`, `name` (of the class),
        `site`, `sub_architecture` and `original` (shares of the kept pixels that are on the class's image; NaN where
        the site has no positions).

    Raises
    ------
    PathsError, MismatchError, DataError, SettingError
        As `hit_rate`.
    """
    asked = _whole_numbers(chosen)
    if not 0 < share < 1:
        raise SettingError(f"share must be above 0 and below 1, found {share}")
    images = labelled(data, labels)
    drawn = draw_mosaics(class_rows(paths, "feature maps"), images, max(asked) + 1, seed).take(asked)
    predictor = Predictor.of(network, paths, device)
    found = [
        (numbers, batch, _kept(predictor, drawn.take(numbers), batch, share))
        for numbers, batch in pictures(drawn, images)
    ]
    if not found:
        raise DataError(f"each of the {len(drawn)} mosaics has an image that cannot be read")
    numbers = np.concatenate([one[0] for one in found])
    kept = np.concatenate([one[2] for one in found])
    if np.isnan(kept).all():
        raise DataError("no site of these paths has positions that could be pictured")
    shown = drawn.take(numbers)
    names = tuple(tuple(paths.rows.names[row] for row in rows) for rows in shown.rows.tolist())
    where = origin(paths, images, np.unique(shown.images))
    hits = _table(paths, [asked[n] for n in numbers], names, kept, f"Hits of {len(numbers)} mosaics, {where}")
    return FeatureMaps(torch.cat([one[1] for one in found]), kept, names, paths.sites.names, hits)


def _whole_numbers(chosen: Sequence[int] | np.ndarray | Tensor) -> list[int]:
    """The numbers of mosaics that are asked for."""
    listed = chosen.tolist() if isinstance(chosen, np.ndarray | Tensor) else chosen
    if not isinstance(listed, Iterable) or not (each := list(listed)):
        raise SettingError(f"chosen must list numbers of mosaics, at least one, found {chosen!r}")
    return [whole_number("each number in chosen", number, 0) for number in each]


def _kept(predictor: Predictor, mosaics: Mosaics, batch: Tensor, share: float) -> np.ndarray:
    """`[mosaics, 4, 2, sites, height, width]`"""
    own = _Keeping(predictor, predictor.gates_of(mosaics.rows.reshape(-1), batch), tuple(batch.shape[-2:]), share)
    predictor.run(batch.repeat_interleave(4, 0), own)
    whole = _Keeping(predictor, None, own.size, share)
    predictor.run(batch, whole)
    size = (len(mosaics), 4, len(predictor.tapped.sites), *own.size)
    kept = np.full((len(mosaics), 4, 2, *size[2:]), np.nan, dtype=np.float32)
    for position, weights in own.found.items():
        kept[:, :, 0, position] = weights.view(len(mosaics), 4, *own.size).cpu().float().numpy()
        kept[:, :, 1, position] = whole.found[position][:, None].cpu().float().numpy()
    return kept


@dataclass
class _Keeping:
    """A tap that gates (or does not), and keeps the weights of the most active pixels."""

    predictor: Predictor
    gate: Multiplier | None
    size: tuple[int, ...]
    share: float
    found: dict[int, Tensor] = field(default_factory=dict)

    def __call__(self, position: int, value: Tensor) -> Tensor:
        gated = self.gate(position, value) if self.gate is not None else value
        maps = summed_channels(gated, self.predictor.tapped.sites[position])
        if maps is not None:
            self.found[position] = top_pixels(maps, (self.size[0], self.size[1]), self.share)
        return gated


def _table(paths: Paths, numbers: Sequence[int], names: Sequence[Sequence[str]], kept: np.ndarray, title: str) -> Table:
    hits = np.full(kept.shape[:4], np.nan)
    for quadrant in range(4):
        flat = torch.from_numpy(kept[:, quadrant]).flatten(0, 2)
        shares = share_in_quadrant(flat, torch.full((len(flat),), quadrant))
        hits[:, quadrant] = shares.view(kept.shape[0], 2, kept.shape[3]).numpy()
    places = [
        (mosaic, quadrant, site)
        for mosaic in range(len(numbers))
        for quadrant in range(4)
        for site in range(len(paths.sites))
    ]
    return Table(
        title=title,
        columns={
            "mosaic": tuple(numbers[mosaic] for mosaic, _, _ in places),
            "quadrant": tuple(QUADRANTS[quadrant] for _, quadrant, _ in places),
            "name": tuple(names[mosaic][quadrant] for mosaic, quadrant, _ in places),
            "site": tuple(paths.sites.names[site] for _, _, site in places),
            "sub_architecture": tuple(float(hits[m, q, 0, s]) for m, q, s in places),
            "original": tuple(float(hits[m, q, 1, s]) for m, q, s in places),
        },
        meanings={
            "mosaic": "number of the mosaic, as the hit rate counts them",
            "sub_architecture": "share of the most active pixels that lie on the class's image, through its "
            "sub-architecture",
            "original": "the same through the whole network",
        },
    )
