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
from unweave.network.graph import Tap
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
    image_shape: tuple[int, ...]

    @classmethod
    def of(
        cls,
        network: nn.Module,
        paths: Paths,
        device: str | torch.device | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> Predictor:
        """Capture `network` for the sites of `paths`; refuses another network than the paths were found in.

        `image_shape` is that of one image, where it is not the shape that the sites were found with.
        """
        paths.check(network)
        sites = paths.sites
        shape = image_shape or sites.image_shape
        example = torch.zeros((2, *shape), dtype=getattr(torch, sites.dtype))
        captured = capture(network, example, sites.logits)
        where = usable_device(device) if device is not None else captured.device
        folded = to_device(channels_last(fold_batch_norms(captured, sites)), where)
        return cls(TappedNetwork(folded, sites), paths, where, shape)

    def original(self, images: Tensor) -> np.ndarray:
        """The untouched network's class scores, `[images, classes]`."""
        return self._scores(images, None)

    def through(self, row: int, images: Tensor, paths: Paths | None = None) -> np.ndarray:
        """Class scores through row `row` (of other `paths` with the same sites, if given), `[images, classes]`."""
        masks = (paths or self.paths).masks.values()
        return self._scores(images, [mask[row].to(self.device, images.dtype) for mask in masks])

    def gates_of(self, rows: Sequence[int] | np.ndarray, images: Tensor) -> Multiplier:
        """A tap that sends image `i` through row `rows[i]`."""
        positions = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        gates = [mask[positions].to(self.device, images.dtype) for mask in self.paths.masks.values()]
        return Multiplier(self.tapped.sites, gates)

    def _scores(self, images: Tensor, gates: list[Tensor] | None) -> np.ndarray:
        return self.run(images, Multiplier(self.tapped.sites, gates) if gates is not None else _pass_on)

    def run(self, images: Tensor, tap: Tap) -> np.ndarray:
        """Class scores `[images, classes]`, with `tap(position, value)` in place of each site's value."""
        expected = self.image_shape
        if tuple(images.shape[1:]) != expected:
            raise DataError(f"the paths were found for images of shape {expected}, found {tuple(images.shape[1:])}")
        placed = images.to(self.device)
        if placed.ndim == 4:
            placed = placed.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            scores: Tensor = self.tapped(placed, tap)
        return scores.cpu().double().numpy()  # exact, and numpy lacks some of torch's types


def _pass_on(position: int, value: Tensor) -> Tensor:
    return value


def image_batches(
    data: LabelledImages,
    positions: Sequence[int] | np.ndarray,
    advance: Advance | None = None,
    *,
    size: int = _BATCH,
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """The images at `positions` that can be read, in batches of `size`, with their positions."""
    where = np.asarray(positions, dtype=np.int64)
    plan = [where[start : start + size] for start in range(0, len(where), size)]
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
