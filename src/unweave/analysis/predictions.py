"""Class scores of a network for images, through given masks: the work that accuracy and specificity share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unweave.data.labelled import LabelledImages
from unweave.errors import DataError
from unweave.network.capture import capture
from unweave.network.devices import usable_device
from unweave.network.folding import channels_last, fold_batch_norms, to_device
from unweave.network.tapping import Multiplier, TappedNetwork
from unweave.paths import Paths
from unweave.progress import Advance

_BATCH = 64


@dataclass(frozen=True)
class Predictor:
    """A network with its sites tapped, ready to be run with any masks."""

    tapped: TappedNetwork
    paths: Paths
    device: torch.device

    @classmethod
    def of(cls, network: nn.Module, paths: Paths, device: str | torch.device | None = None) -> Predictor:
        """Capture `network` for the sites of `paths`; refuses another network than the paths were found in."""
        paths.check(network)
        sites = paths.sites
        example = torch.zeros((2, *sites.image_shape), dtype=getattr(torch, sites.dtype))
        captured = capture(network, example, sites.logits)
        where = usable_device(device) if device is not None else captured.device
        folded = to_device(channels_last(fold_batch_norms(captured, sites)), where)
        return cls(TappedNetwork(folded, sites), paths, where)

    def original(self, images: Tensor) -> np.ndarray:
        """The untouched network's class scores, `[images, classes]`."""
        return self._scores(images, None)

    def through(self, row: int, images: Tensor, paths: Paths | None = None) -> np.ndarray:
        """Class scores through row `row` (of other `paths` with the same sites, if given), `[images, classes]`."""
        masks = (paths or self.paths).masks.values()
        return self._scores(images, [mask[row].to(self.device, images.dtype) for mask in masks])

    def _scores(self, images: Tensor, gates: list[Tensor] | None) -> np.ndarray:
        expected = self.paths.sites.image_shape
        if tuple(images.shape[1:]) != expected:
            raise DataError(f"the paths were found for images of shape {expected}, found {tuple(images.shape[1:])}")
        placed = images.to(self.device)
        if placed.ndim == 4:
            placed = placed.contiguous(memory_format=torch.channels_last)
        tap = Multiplier(self.tapped.sites, gates) if gates is not None else _pass_on
        with torch.inference_mode():
            scores: Tensor = self.tapped(placed, tap)
        return scores.cpu().double().numpy()  # exact, and numpy lacks some of torch's types


def _pass_on(position: int, value: Tensor) -> Tensor:
    return value


def image_batches(
    data: LabelledImages, positions: Sequence[int] | np.ndarray, advance: Advance | None = None
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """The images at `positions` that can be read, in batches of 64, with their positions."""
    where = np.asarray(positions, dtype=np.int64)
    plan = [where[start : start + _BATCH] for start in range(0, len(where), _BATCH)]
    for batch in data.batches(plan):
        if batch.images is not None:
            yield batch.positions, batch.images
        if advance is not None:
            advance(len(batch.positions) + len(batch.damaged))


def left_out(data: LabelledImages, asked: int, read: int) -> str:
    """For a table's title: how many images were damaged, among those asked for and those without a known class.

    Raises
    ------
    DataError
        If none could be read.
    """
    if read == 0:
        raise DataError(f"none of the {asked} images asked for can be read: all are damaged")
    count = asked - read + len(data.damaged)
    return f"; {count} damaged image{'s' if count > 1 else ''} left out" if count else ""
