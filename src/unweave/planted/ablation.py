"""What removing channels of a planted network does, and how active its channels are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from unweave.data.labelled import LabelledImages
from unweave.network.sites import Sites
from unweave.network.tapping import Multiplier, Recorder, TappedNetwork
from unweave.planted.architecture import PlantedNetwork
from unweave.planted.parts import Part

_BATCH = 200
_FEW = 500
"""Images of all classes together on which the whole network is run once more for every check of one site; at least
`_FEWEST` a class. What is checked there is a matter of weights that are zero, not of how many images are asked."""
_FEWEST = 5
_ASKED, _FEWEST_ASKED = 1500, 15
"""Images of all classes together on which the whole network is run once, and at least so many a class: all of 50 a
class with up to 30 classes. Effects are found on all images, because a class's own channels are quick to run."""
_COMPARED = 160
"""How many runs of the whole network, times classes, compare it with what its parts say about one site; each removes
one channel of every class. With ten classes that is every channel of networks of the default width."""


@dataclass(frozen=True)
class Ablation:
    """One network on `images`, which are sorted by class, `per_class` of each.

    `reaches[site]` `Bool[classes, channels]`: which channels can reach which class's score. A score is then a matter of
    its own channels: effects are those of the class's `Part`, on images of the class alone. That nothing else reaches
    the score of the whole network is checked apart: `apart`, `idle` and `disagreement`.
    """

    network: PlantedNetwork
    tapped: TappedNetwork
    sites: Sites
    images: Tensor
    labels: np.ndarray
    reaches: list[np.ndarray]

    @classmethod
    def of(
        cls,
        network: PlantedNetwork,
        tapped: TappedNetwork,
        sites: Sites,
        data: LabelledImages,
        per_class: int,
        reaches: list[np.ndarray],
    ) -> Ablation:
        """On `per_class` images of every class. `tapped`: the same network, at its `sites`, one a layer."""
        positions = np.concatenate([data.of_class(c, per_class) for c in data.classes])
        return cls(network, tapped, sites, data.images(positions), data.labels[positions], reaches)

    @cached_property
    def whole(self) -> Tensor:
        """`[images]`: each image's score for its own class, of the whole network with all gates open; NaN for images
        that it is not asked about, from 31 classes on."""
        whole = torch.full((len(self.labels),), float("nan"))
        whole[self._asked] = self._seen[0]
        return whole

    @cached_property
    def activations(self) -> list[Tensor]:
        """Of every site, `[classes, channels]`: mean absolute activation on images of each class."""
        labels = self._labels[self._asked]
        return [torch.stack([mean[labels == c].mean(0) for c in range(self._classes)]) for mean in self._seen[1]]

    @cached_property
    def parts(self) -> list[Part]:
        """Of every class."""
        return [
            Part(self.network, [np.flatnonzero(reached[c]) for reached in self.reaches], c)
            for c in range(self._classes)
        ]

    def effects(self, site: int) -> Tensor:
        """`[classes, channels]` at one site: the mean absolute change of a class's score when a channel is removed, as
        a share of its mean absolute score; 0 for channels that do not reach it."""
        return self._effects(site, np.arange(len(self.labels)))

    def apart(self) -> float:
        """The largest difference, as a share of the mean absolute score, between a class's score in the whole network
        and in its part: what all channels outside do to it at all sites together."""
        worst = 0.0
        for c, part in enumerate(self.parts):
            of = self._asked[self._labels[self._asked] == c]
            own = part.scores(self.images[of])
            worst = max(worst, float((self.whole[of] - own).abs().mean() / own.abs().mean().clamp_min(1e-12)))
        return worst

    def idle(self, site: int) -> float:
        """The largest change, as a share, that removing all channels of a site together that do not reach a class makes
        to its score in the whole network, on a few images of the class."""
        gates = torch.from_numpy(self.reaches[site]).float()[self._labels[self._few]]
        return float(self._changes(site, gates).max())

    def disagreement(self, site: int) -> float:
        """The largest difference between the effect of a channel in the whole network and in the class's part, on the
        same few images, among the channels compared: all where there are few classes.

        Channels that reach different classes are removed together, because a score sees its own alone.
        """
        by_parts, worst = self._effects(site, self._few.numpy()), 0.0
        groups = without_overlap(self.reaches[site])
        for together in groups[: max(1, _COMPARED // self._classes)]:
            gate = torch.ones(self.reaches[site].shape[1])
            gate[together] = 0
            changes = self._changes(site, gate)
            for channel in together:
                mine = torch.from_numpy(self.reaches[site][:, channel])
                worst = max(worst, float((changes[mine] - by_parts[mine, channel]).abs().max()))
        return worst

    @property
    def _classes(self) -> int:
        return len(self.reaches[0])

    @cached_property
    def _labels(self) -> Tensor:
        return torch.from_numpy(self.labels)

    def _of(self, index: int) -> Tensor:
        return (self._labels == index).nonzero()[:, 0]

    @cached_property
    def _few(self) -> Tensor:
        """Positions of the first images of every class."""
        return self._first(max(_FEWEST, _FEW // self._classes))

    @cached_property
    def _asked(self) -> Tensor:
        """Positions of the images that the whole network is run on."""
        return self._first(max(_FEWEST_ASKED, _ASKED // self._classes))

    def _first(self, per_class: int) -> Tensor:
        return torch.cat([self._of(c)[:per_class] for c in range(self._classes)])

    @cached_property
    def _seen(self) -> tuple[Tensor, list[Tensor]]:
        """Each image's score for its own class, and mean absolute activations `[images, channels]` of every site, of
        the images asked."""
        scores, means = [], []
        for positions in torch.split(self._asked, _BATCH):
            recorder = Recorder()
            with torch.no_grad():
                found = self.tapped(self.images[positions], recorder)
            scores.append(found.gather(1, self._labels[positions, None])[:, 0])
            means.append([value.abs().flatten(2).mean(2) for value in recorder.values])
        return torch.cat(scores), [torch.cat(parts) for parts in zip(*means, strict=True)]

    def _effects(self, site: int, positions: np.ndarray) -> Tensor:
        found, chosen = torch.zeros(self.reaches[site].shape), torch.from_numpy(positions)
        for c, part in enumerate(self.parts):
            images = self.images[chosen[self._labels[chosen] == c]]
            scores = part.scores(images)
            size = scores.abs().mean().clamp_min(1e-12)
            for number, channel in enumerate(np.flatnonzero(self.reaches[site][c])):
                changed = part.scores_without(images, site, number)
                found[c, channel] = (changed - scores).abs().mean() / size
        return found

    def _changes(self, site: int, gates: Tensor) -> Tensor:
        """`[classes]`: on the few images, the mean absolute change of the class's score, as a share of its mean size,
        that `gates` (`[channels]`, or `[few images, channels]`) at one site make in the whole network."""
        before, after = self.whole[self._few], []
        for start in range(0, len(self._few), _BATCH):
            rows = slice(start, start + _BATCH)
            of, gate = self._few[rows], gates if gates.ndim == 1 else gates[rows]
            with torch.no_grad():
                scores = self.tapped(self.images[of], _One(self.sites, site, gate))
            after.append(scores.gather(1, self._labels[of, None])[:, 0])
        change, labels = (torch.cat(after) - before).abs(), self._labels[self._few]
        return torch.stack(
            [
                change[labels == c].mean() / before[labels == c].abs().mean().clamp_min(1e-12)
                for c in range(self._classes)
            ]
        )


class _One(Multiplier):
    """Gates one site alone."""

    def __init__(self, sites: Sites, site: int, gate: Tensor) -> None:
        super().__init__(sites, [gate] * len(sites))
        self.site = site

    def __call__(self, position: int, value: Tensor) -> Tensor:
        return super().__call__(position, value) if position == self.site else value


def without_overlap(reaches: np.ndarray) -> list[list[int]]:
    """Channels in groups of which no two reach the same class; those that reach none are in none."""
    groups: list[tuple[list[int], np.ndarray]] = []
    for channel in np.flatnonzero(reaches.any(0)):
        for members, taken in groups:
            if not (taken & reaches[:, channel]).any():
                members.append(int(channel))
                np.logical_or(taken, reaches[:, channel], out=taken)
                break
        else:
            groups.append(([int(channel)], reaches[:, channel].copy()))
    return [members for members, _ in groups]
