"""Mosaics of four images of four classes, and which of their pixels a site looks at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unweave.analysis.class_rows import ClassRow, class_rows
from unweave.data.labelled import LabelledImages
from unweave.errors import DataError, PathsError
from unweave.network.operations import OPERATIONS, Effect
from unweave.network.sites import Site
from unweave.paths import Paths
from unweave.progress import Advance
from unweave.randomness import generator
from unweave.whole_numbers import whole_number

QUADRANTS = ("top left", "top right", "bottom left", "bottom right")
_SMALL = 128 * 128


@dataclass(frozen=True, eq=False)
class Mosaics:
    """Which row of the paths (`rows` `[count, 4]`) and which image of the data (`images` `[count, 4]`) each quadrant
    shows; quadrants in the order of `QUADRANTS`."""

    rows: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Sequence[int] | np.ndarray) -> Mosaics:
        """The mosaics at `positions`."""
        return Mosaics(self.rows[positions], self.images[positions])


def check_mosaics(paths: Paths, images: LabelledImages | None = None) -> None:
    """Refuse what mosaics cannot be made of, or no site could be looked at in; no image is read. Without `images`: as
    far as the paths alone tell.

    Raises
    ------
    PathsError
        If rows are inputs, or two share a class.
    DataError
        If images are no pictures, no site has positions, or fewer than four rows have images.
    """
    rows, shape = class_rows(paths, "a mosaic"), paths.sites.image_shape
    _check_apart(rows)
    if len(shape) != 3:
        raise DataError(f"mosaics are made of pictures [channels, height, width], found {list(shape)}")
    if not any(map(has_positions, paths.sites)):
        raise DataError("no site of these paths has positions that could be pictured; search sites that have some")
    if images is not None:
        _with_images(rows, images)


def _check_apart(rows: Sequence[ClassRow]) -> None:
    members, times = np.unique([index for row in rows for index in row.members], return_counts=True)
    if (times > 1).any():
        shared = int(members[times > 1][0])
        raise PathsError(f"a mosaic shows rows that share no class; class {shared} is in several rows")


def _with_images(rows: Sequence[ClassRow], images: LabelledImages) -> dict[int, np.ndarray]:
    """The images of each row that has any, by the row's position."""
    own = {position: row.own(images) for position, row in enumerate(rows)}
    found = {position: theirs for position, theirs in own.items() if len(theirs)}
    if len(found) < 4:
        raise DataError(
            f"a mosaic shows four classes, {len(found)} of the {len(rows)} rows have images; search more classes, or "
            "give images of more"
        )
    return found


def draw_mosaics(rows: Sequence[ClassRow], images: LabelledImages, count: int, seed: int = 0) -> Mosaics:
    """`count` mosaics, each of four different rows that have images, and of one image of each; drawn by (seed, number
    of the mosaic), so that more mosaics begin with the same ones.

    Raises
    ------
    DataError
        If fewer than four rows have images.
    PathsError
        If two rows share a class: an image would belong to both.
    SettingError
        If `count` is below 1 or `seed` negative.
    """
    count, seed = whole_number("mosaics", count, 1), whole_number("seed", seed, 0)
    _check_apart(rows)
    own = _with_images(rows, images)
    usable = np.array(list(own), dtype=np.int64)
    chosen, pictured = np.empty((count, 4), np.int64), np.empty((count, 4), np.int64)
    for number in range(count):
        numbers = generator("mosaics", seed, number)
        chosen[number] = numbers.choice(usable, 4, replace=False)
        pictured[number] = [own[row][numbers.integers(len(own[row]))] for row in chosen[number]]
    return Mosaics(chosen, pictured)


def tiled(parts: Tensor, *, resize: bool = True) -> Tensor:
    """Mosaics `[count, channels, height, width]` of `parts` `[count, 4, channels, height, width]`, each tiled 2 x 2 and
    resized to the size of a part (bilinear, antialiased); not resized they are twice as high and wide."""
    if parts.ndim != 5:
        raise DataError(f"mosaics are made of pictures [channels, height, width], found {list(parts.shape[2:])}")
    upper, lower = torch.cat([parts[:, 0], parts[:, 1]], -1), torch.cat([parts[:, 2], parts[:, 3]], -1)
    whole = torch.cat([upper, lower], -2)
    if not resize:
        return whole
    size = list(parts.shape[-2:])
    exact = whole if whole.dtype in (torch.float32, torch.float64) else whole.float()
    return interpolate(exact, size, mode="bilinear", antialias=True, align_corners=False).to(parts.dtype)


def pictures(
    mosaics: Mosaics, images: LabelledImages, *, resize: bool = True, advance: Advance | None = None
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """(positions among the mosaics, their pictures) in batches; a mosaic with a damaged image is left out."""
    step = _batch_size(images, mosaics)
    plan = [np.arange(start, min(start + step, len(mosaics))) for start in range(0, len(mosaics), step)]
    wanted = [np.unique(mosaics.images[numbers]) for numbers in plan]
    for numbers, batch in zip(plan, images.batches(wanted), strict=True):
        whole = np.isin(mosaics.images[numbers], batch.positions).all(1)
        if batch.images is not None and whole.any():
            kept = numbers[whole]
            # `wanted` ascends, and so do the positions that could be read.
            places = torch.from_numpy(np.searchsorted(batch.positions, mosaics.images[kept]))
            yield kept, tiled(batch.images[places], resize=resize)
        if advance is not None:
            advance(len(numbers))


def first_readable(mosaics: Mosaics, images: LabelledImages, most: int) -> list[int]:
    """Positions of the first of the mosaics, at most `most`, of which no image is damaged; reads no further."""
    found: list[int] = []
    for numbers, _ in pictures(mosaics, images):
        found += numbers.tolist()
        if len(found) >= most:
            break
    return found[:most]


def _batch_size(images: LabelledImages, mosaics: Mosaics) -> int:
    """Each mosaic is four images for the network: 64 small ones a batch, or 16."""
    first = images.images(images.intact(1))
    return 16 if math.prod(first.shape[-2:]) <= _SMALL else 4


def summed_channels(value: Tensor, site: Site) -> Tensor | None:
    """The sum over channels of a site's value, as maps `[batch, height, width]`; None where it has no positions.

    Tokens are laid out as a square, without the first one where it is one too many (a class token). A head's value is
    tokens by features, which is no map.
    """
    size = _map_size(site, value.shape[1:])
    if size is None:
        return None
    wide = value if value.dtype in (torch.float32, torch.float64) else value.float()
    total = wide.sum(site.dim)
    return total if total.ndim == 3 else total[:, -math.prod(size) :].reshape(-1, *size)


def has_positions(site: Site) -> bool:
    """Whether `summed_channels` makes maps of the site's value."""
    return _map_size(site, site.shape) is not None


def _map_size(site: Site, shape: Sequence[int]) -> tuple[int, int] | None:
    """Height and width of the map of a value of `shape`, for one image."""
    operation = site.name.rpartition("/")[2].rpartition(":")[0]
    if operation in OPERATIONS and OPERATIONS[operation].effect is Effect.PRODUCT:
        return None
    others = [length for dim, length in enumerate(shape, 1) if dim != site.dim]
    if len(others) == 2:
        return others[0], others[1]
    if len(others) == 1:
        for extra in (0, 1):
            side = math.isqrt(others[0] - extra)
            if side > 1 and side * side == others[0] - extra:
                return side, side
    return None


def top_pixels(maps: Tensor, size: tuple[int, int], share: float) -> Tensor:
    """The highest pixels of `maps` `[count, h, w]`, resized to `size` (bilinear): weights `[count, *size]` in [0, 1]
    that sum to `share` of the pixels.

    Pixels above the threshold weigh 1; those exactly at it share evenly what is left, so that their order has no say. A
    constant map weighs `share` everywhere (before it is resized: rounding would make a pattern of it).
    """
    low, high = maps.amin((1, 2)), maps.amax((1, 2))
    large = interpolate(maps[:, None], size, mode="bilinear", align_corners=False).flatten(1)
    wanted = share * large.shape[1]
    threshold = large.topk(math.ceil(wanted), dim=1).values[:, -1:]
    above, tied = large > threshold, large == threshold
    left = wanted - above.sum(1, keepdim=True)
    weights = above.to(large.dtype) + tied * (left / tied.sum(1, keepdim=True))
    weights = torch.where((low == high)[:, None], torch.full_like(weights, share), weights)
    return weights.view(-1, *size)


def share_in_quadrant(weights: Tensor, quadrants: Tensor) -> Tensor:
    """`[count]`: of `weights` `[count, height, width]`, the share in quadrant `quadrants[i]`. A pixel on the border of
    two quadrants (odd sizes) belongs to each by half."""
    height, width = weights.shape[-2:]
    upper, left = _first_half(height, weights), _first_half(width, weights)
    down, right = (quadrants // 2).bool(), (quadrants % 2).bool()
    rows = torch.where(down[:, None], 1 - upper, upper)
    columns = torch.where(right[:, None], 1 - left, left)
    inside = torch.einsum("chw,ch,cw->c", weights, rows, columns)
    return inside / weights.sum((1, 2))


def _first_half(length: int, like: Tensor) -> Tensor:
    """How much of each pixel lies in the first half."""
    return (length / 2 - torch.arange(length, device=like.device, dtype=like.dtype)).clamp(0, 1)
