"""`restrict`: the network with the masks of a `Paths` applied."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unweave.errors import DataError, PathsError
from unweave.network.capture import capture
from unweave.network.graph import NetworkGraph
from unweave.network.tapping import Multiplier, TappedNetwork
from unweave.paths.paths import Paths


class RestrictedNetwork(nn.Module):
    """A network whose channels are switched by masks. Shares the weights of the network it was made from.

    Call it with images `[batch, ...]`. With one row, every image goes through that row's sub-architecture. With
    several, image `i` goes through row `i`, or through `rows[i]` if `rows` (positions, `[batch]`) is given.
    """

    def __init__(self, tapped: TappedNetwork, paths: Paths) -> None:
        super().__init__()
        self.tapped = tapped
        self.row_names = paths.rows.names
        self._masks = [f"mask_{position}" for position in range(len(paths.sites))]
        for name, mask in zip(self._masks, paths.masks.values(), strict=True):
            self.register_buffer(name, mask)

    def forward(self, images: Tensor, rows: Tensor | None = None) -> Tensor:
        """Class scores `[batch, classes]`."""
        masks = [self.get_buffer(name) for name in self._masks]
        count = len(self.row_names)
        if rows is not None:
            if rows.shape != images.shape[:1]:
                raise DataError(f"rows must be one position an image, found {tuple(rows.shape)} for {len(images)}")
            if rows.dtype.is_floating_point or rows.dtype == torch.bool:
                raise DataError(f"rows must be whole numbers, found {rows.dtype}")
            masks = [mask[_checked(rows, count)] for mask in masks]
        elif count == 1:
            masks = [mask[0] for mask in masks]
        elif count != len(images):
            raise DataError(
                f"{count} rows gate {count} images, found {len(images)}; give rows= (a row's position for each image)"
            )
        gates = [mask.to(images.dtype) for mask in masks]
        scores: Tensor = self.tapped(images, Multiplier(self.tapped.sites, gates))
        return scores


def _checked(rows: Tensor, count: int) -> Tensor:
    if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= count):
        raise DataError(f"rows must be positions from 0 to {count - 1}, found {int(rows.min())} to {int(rows.max())}")
    return rows


def restrict(network: nn.Module, paths: Paths, *, check: bool = True) -> RestrictedNetwork:
    """The network with the masks of `paths`, as a module; `network` is not changed and shares its weights.

    Gating multiplies the channels of every site with 0 or 1 (ICCV Eq. 7 and 16 without noise).

    Parameters
    ----------
    paths
        One row: all images go through it. Several rows: image `i` goes through row `i`, or `module(images, rows)`.
    check
        Refuse a network other than the one the paths were found in.

    Raises
    ------
    MismatchError
        If the network is another one.
    SiteError
        If a site is missing or has other channels.
    """
    if len(paths) == 0:
        raise PathsError("there are no rows to restrict the network to")
    if check:
        paths.check(network)
    sites = paths.sites
    example = torch.zeros((2, *sites.image_shape), dtype=getattr(torch, sites.dtype))
    return restricted(capture(network, example, sites.logits), paths)


def restricted(captured: NetworkGraph, paths: Paths) -> RestrictedNetwork:
    """As `restrict`, of a network that was captured and checked already."""
    return RestrictedNetwork(TappedNetwork(captured, paths.sites), paths).to(captured.device)
