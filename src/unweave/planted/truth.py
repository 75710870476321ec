"""What is true of a planted network, found by ablation, and the checks that make judging by it fair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from unweave.data.labelled import LabelledImages
from unweave.errors import PlantedError
from unweave.network.sites import Sites
from unweave.network.tapping import Multiplier, Recorder, TappedNetwork
from unweave.paths import Paths

SHARE = 0.02
"""A channel is needed if removing it changes its class's score by more than this share, on images of the class."""
HELD_OUT_SHARE = SHARE / 2
"""The same on images that had no say in what is planted: less, because a channel just above `SHARE` on some images is
as likely as not just below it on others."""
_IDLE = 1e-4
"""Removing all channels that cannot reach a score may change it by this share: rounding."""
_MOST_BY_ACTIVITY = 0.8
_LEAST_ACTIVE = 0.8
_LEAST_NEEDED = 0.5


@dataclass(frozen=True)
class Truth:
    """`paths`: one row a class, its planted channels. `judged[site]` `Bool[classes, channels]`: channels that are
    planted, or that cannot reach the class's score at all; the others belong to the class's blocks and change little,
    and nobody is judged by them. `effects[site]` `[classes, channels]`: mean over the class's images of
    `|z_c without the channel - z_c| / mean |z_c|`. `activity`: AUROC of ranking channels by their mean absolute
    activation on the class's images, mean over sites. `distractors`: mean activation of the channels that are not the
    class's on its images, relative to that of the planted ones."""

    paths: Paths
    judged: Mapping[str, Tensor]
    effects: Mapping[str, Tensor]
    activity: float
    distractors: float

    def __post_init__(self) -> None:
        for name in ("judged", "effects"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))


@dataclass(frozen=True)
class Ablation:
    """What removing channels of one network does on `images`, which are sorted by class, as many of each."""

    tapped: TappedNetwork
    sites: Sites
    images: Tensor
    labels: np.ndarray

    @classmethod
    def of(cls, tapped: TappedNetwork, sites: Sites, data: LabelledImages, per_class: int) -> Ablation:
        """On `per_class` images of every class."""
        positions = np.concatenate([data.of_class(c, per_class) for c in data.classes])
        return cls(tapped, sites, data.images(positions), data.labels[positions])

    def scores(self, site: int | None = None, gate: Tensor | None = None, of: np.ndarray | None = None) -> Tensor:
        """Class scores `[images, classes]` with `gate` (`[channels]`) at one site, all others open; of the images `of`
        alone."""
        images = self.images if of is None else self.images[torch.from_numpy(of)]
        with torch.no_grad():
            if site is None or gate is None:
                found: Tensor = self.tapped(images, Recorder())
            else:
                found = self.tapped(images, _One(self.sites, site, gate))
        return found

    @cached_property
    def whole(self) -> Tensor:
        """Class scores `[images, classes]` with all gates open."""
        return self.scores()

    def own(self, scores: Tensor) -> Tensor:
        """`[classes]`: the mean absolute score of each class on its own images."""
        return self._per_class(scores.abs())

    def _per_class(self, scores: Tensor) -> Tensor:
        labels = torch.from_numpy(self.labels)
        classes = scores.shape[1]
        own = scores.gather(1, labels[:, None])[:, 0]
        return torch.stack([own[labels == c].mean() for c in range(classes)])

    def effects(self, reaches: np.ndarray, site: int) -> Tensor:
        """`[classes, channels]` at one site: the mean absolute change of a class's score when a channel is removed, as
        a share of its mean absolute score; 0 for channels that do not reach it.

        `reaches` `Bool[classes, channels]`. Channels that reach different classes are removed together, because a score
        sees its own alone; that the others do nothing is checked apart, in `idle`.
        """
        size = self.own(self.whole).clamp_min(1e-12)
        found = torch.zeros(reaches.shape)
        for together in _without_overlap(reaches):
            gate = torch.ones(reaches.shape[1])
            gate[together] = 0
            change = self._per_class((self.scores(site, gate) - self.whole).abs()) / size
            for channel in together:
                mine = torch.from_numpy(reaches[:, channel])
                found[mine, channel] = change[mine]
        return found

    def idle(self, reaches: np.ndarray, site: int) -> float:
        """The largest change, as a share, that removing all channels together that do not reach a class makes to its
        score, on images of the class."""
        size, worst = self.own(self.whole).clamp_min(1e-12), 0.0
        for c, mine in enumerate(reaches):
            of = np.flatnonzero(self.labels == c)
            changed = self.scores(site, torch.from_numpy(mine).float(), of)[:, c]
            worst = max(worst, float((changed - self.whole[torch.from_numpy(of), c]).abs().mean() / size[c]))
        return worst

    def activations(self) -> list[Tensor]:
        """Of every site, `[classes, channels]`: mean absolute activation on each class's images."""
        recorder, labels = Recorder(), torch.from_numpy(self.labels)
        with torch.no_grad():
            self.tapped(self.images, recorder)
        means = [value.abs().flatten(2).mean(2) if value.ndim > 2 else value.abs() for value in recorder.values]
        return [torch.stack([mean[labels == c].mean(0) for c in np.unique(self.labels)]) for mean in means]


class _One(Multiplier):
    """Gates one site alone."""

    def __init__(self, sites: Sites, site: int, gate: Tensor) -> None:
        super().__init__(sites, [gate] * len(sites))
        self.site = site

    def __call__(self, position: int, value: Tensor) -> Tensor:
        return super().__call__(position, value) if position == self.site else value


def _without_overlap(reaches: np.ndarray) -> list[list[int]]:
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


def find_truth(
    ablation: Ablation,
    held_out: Ablation,
    reaches: list[np.ndarray],
    to_paths: Callable[[Mapping[str, Tensor]], Paths],
    share: float = SHARE,
) -> Truth:
    """The truth about a network whose classes are reached by `reaches[site]` `Bool[classes, channels]`: found by
    `ablation`, and checked on the other images of `held_out` at half the share, because on those that it was found on
    it holds by definition.

    Raises
    ------
    PlantedError
        As `check_truth`.
    """
    sites = ablation.sites
    effects = {site.name: ablation.effects(reaches[i], i) for i, site in enumerate(sites)}
    planted = {name: effect > share for name, effect in effects.items()}
    judged = {site.name: planted[site.name] | ~torch.from_numpy(reaches[i]) for i, site in enumerate(sites)}
    active = ablation.activations()
    truth = Truth(
        to_paths(planted),
        judged,
        effects,
        _activity(active, planted, judged),
        _distractors(active, planted, reaches),
    )
    check_truth(truth, held_out, reaches, share / 2)
    return truth


def check_truth(truth: Truth, ablation: Ablation, reaches: list[np.ndarray], share: float = HELD_OUT_SHARE) -> None:
    """Refuse a truth that the network does not bear out, or by which it would be unfair to judge.

    `ablation`: on other images than those that the truth was found on. Every planted channel is needed there too:
    removing it changes its class's score by more than `share`; channels that are not the class's do nothing to it, all
    together; at least half of the channels that reach a class are planted; channels that are not the class's are on its
    images at least 0.8 times as active as planted ones; ranking channels by their mean activation has an AUROC of at
    most 0.8, and of at least 0.2: the least active first would be as easy.

    Raises
    ------
    PlantedError
        Saying which of these does not hold, and where.
    """
    if not 1 - _MOST_BY_ACTIVITY <= truth.activity <= _MOST_BY_ACTIVITY:
        raise PlantedError(
            f"ranking channels by mean activation finds the planted ones with an AUROC of {truth.activity:.2f}, at "
            f"most {_MOST_BY_ACTIVITY} is fair, and as far above 0; give another seed or a larger spread"
        )
    if truth.distractors < _LEAST_ACTIVE:
        raise PlantedError(
            f"channels that are not a class's are on its images {truth.distractors:.2f} times as active as planted "
            f"ones, at least {_LEAST_ACTIVE} is fair; give another seed or a larger spread"
        )
    for number, site in enumerate(ablation.sites):
        planted = truth.paths.masks[site.name]
        weak = planted & (ablation.effects(reaches[number], number) <= share)
        if weak.any():
            row, channel = weak.nonzero()[0].tolist()
            raise PlantedError(
                f"channel {channel} of {site.name!r} is planted for class {row}, but removing it changes the class's "
                f"score on other images by no more than {share:.1%}; plant another network"
            )
        if (found := ablation.idle(reaches[number], number)) > _IDLE:
            raise PlantedError(
                f"channels of {site.name!r} that are planted for no or other classes change a class's score by "
                f"{found:.2%}; plant another network"
            )
        mine = torch.from_numpy(reaches[number])
        if float(planted.sum() / mine.sum()) < _LEAST_NEEDED:
            raise PlantedError(
                f"of the channels of {site.name!r} that reach a class, {float(planted.sum() / mine.sum()):.0%} are "
                f"needed, at least {_LEAST_NEEDED:.0%} must be; give another seed"
            )


def _activity(active: list[Tensor], planted: Mapping[str, Tensor], judged: Mapping[str, Tensor]) -> float:
    from unweave.planted.scoring import auroc

    found = [
        auroc(means[judged[name]].numpy(), planted[name][judged[name]].numpy())
        for means, name in zip(active, planted, strict=True)
    ]
    return float(np.mean(found))


def _distractors(active: list[Tensor], planted: Mapping[str, Tensor], reaches: list[np.ndarray]) -> float:
    """Sites count alike, whatever their activations' size."""
    ratios = []
    for means, mask, mine in zip(active, planted.values(), reaches, strict=True):
        ratios.append(float(means[~torch.from_numpy(mine)].mean() / means[mask].mean()))
    return float(np.mean(ratios))
