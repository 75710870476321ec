"""What is true of a planted network, found by ablation, and the checks that make judging by it fair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from unweave.errors import PlantedError
from unweave.paths import Paths
from unweave.planted.ablation import Ablation
from unweave.planted.activity import Activity, activity_at

SHARE = 0.02
"""A channel is needed if removing it changes its class's score by more than this share, on images of the class."""
HELD_OUT_SHARE = SHARE / 2
"""The same on images that had no say in what is planted: less, because a channel just above `SHARE` on some images is
as likely as not just below it on others."""
_ROUNDING = 1e-4
"""What a class's own channels leave of its score may differ by this share from what the whole network says."""
_MOST_BY_ACTIVITY = 0.8
_LEAST_ACTIVE = 0.8
_LEAST_NEEDED = 0.5


@dataclass(frozen=True)
class Truth:
    """`paths`: one row a class, its planted channels. `judged[site]` `Bool[classes, channels]`: channels that are
    planted, or that cannot reach the class's score at all; the others belong to the class's blocks and change little,
    and nobody is judged by them. `effects[site]` `[classes, channels]`: mean over the class's images of
    `|z_c without the channel - z_c| / mean |z_c|`. `activity[site]`: what channels' activations tell on the images that
    the truth was found on; `held_out_activity[site]`: on those that it was checked on."""

    paths: Paths
    judged: Mapping[str, Tensor]
    effects: Mapping[str, Tensor]
    activity: Mapping[str, Activity]
    held_out_activity: Mapping[str, Activity]

    def __post_init__(self) -> None:
        for name in ("judged", "effects", "activity", "held_out_activity"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))


def find_truth(
    ablation: Ablation,
    held_out: Ablation,
    to_paths: Callable[[Mapping[str, Tensor]], Paths],
    share: float = SHARE,
) -> Truth:
    """The truth about a network, found by `ablation`, and checked on the other images of `held_out` at half the share,
    because on those that it was found on it holds by definition.

    Raises
    ------
    PlantedError
        As `check_truth`.
    """
    names = ablation.sites.names
    effects = {name: ablation.effects(i) for i, name in enumerate(names)}
    planted = {name: effect > share for name, effect in effects.items()}
    judged = {name: planted[name] | ~torch.from_numpy(ablation.reaches[i]) for i, name in enumerate(names)}
    activity = activities(ablation, planted, judged)
    truth = Truth(to_paths(planted), judged, effects, activity, activities(held_out, planted, judged))
    check_truth(truth, held_out, share / 2)
    return truth


def activities(ablation: Ablation, planted: Mapping[str, Tensor], judged: Mapping[str, Tensor]) -> dict[str, Activity]:
    """Of every site, on the images of `ablation`."""
    tables = zip(ablation.sites.names, ablation.activations, ablation.reaches, strict=True)
    return {
        name: activity_at(means.numpy(), planted[name].numpy(), judged[name].numpy(), reached)
        for name, means, reached in tables
    }


def check_truth(truth: Truth, ablation: Ablation, share: float = HELD_OUT_SHARE) -> None:
    """Refuse a truth that the network does not bear out, or by which it would be unfair to judge.

    `ablation`: on other images than those that the truth was found on. At every site:

    - Every planted channel is needed there too: removing it changes its class's score by more than `share`.
    - Channels that are not the class's do nothing to its score, all together; and what the effects were found with, the
      class's own channels as a network of their own, says the same as the whole network.
    - At least half of the channels that reach a class are planted.
    - On both sets of images: channels that are not the class's are on its images at least 0.8 times as active as
      planted ones, and so are those alone that no class reads; ranking channels by their mean activation has an AUROC
      of at most 0.8, and of at least 0.2 (the least active first would be as easy), also against those alone that no
      class reads.

    Raises
    ------
    PlantedError
        Saying which of these does not hold, and at which site.
    """
    _check_activity(truth.activity, "the images it was found on")
    for number, name in enumerate(ablation.sites.names):
        planted, mine = truth.paths.masks[name], torch.from_numpy(ablation.reaches[number])
        weak = planted & (ablation.effects(number) <= share)
        if weak.any():
            row, channel = weak.nonzero()[0].tolist()
            raise PlantedError(
                f"channel {channel} of {name!r} is planted for class {row}, but removing it changes the class's "
                f"score on other images by no more than {share:.1%}; plant another network"
            )
        if (found := ablation.idle(number)) > _ROUNDING:
            raise PlantedError(
                f"channels of {name!r} that are planted for no or other classes change a class's score by "
                f"{found:.2%}; plant another network"
            )
        if (found := ablation.disagreement(number)) > _ROUNDING:
            raise PlantedError(
                f"removing a channel of {name!r} from the whole network changes a class's score by another share than "
                f"removing it from the class's own channels, by {found:.2%}; plant another network"
            )
        if float(planted.sum() / mine.sum()) < _LEAST_NEEDED:
            raise PlantedError(
                f"of the channels of {name!r} that reach a class, {float(planted.sum() / mine.sum()):.0%} are "
                f"needed, at least {_LEAST_NEEDED:.0%} must be; give another seed"
            )
    _check_activity(activities(ablation, truth.paths.masks, truth.judged), "other images")
    if (found := ablation.apart()) > _ROUNDING:
        raise PlantedError(
            f"channels that are planted for no or other classes change a class's score by {found:.2%}, all sites "
            "together; plant another network"
        )


def _check_activity(activity: Mapping[str, Activity], images: str) -> None:
    """NaN, where there is nothing to compare, is not refused."""
    remedy = "give another seed or a larger spread"
    for name, found in activity.items():
        for value, which in ((found.others, "are not a class's"), (found.distractors, "no class reads")):
            if value < _LEAST_ACTIVE:
                raise PlantedError(
                    f"the channels of {name!r} that {which} are {value:.2f} times as active as planted ones on "
                    f"{images}, at least {_LEAST_ACTIVE} is fair; {remedy}"
                )
        for value, against in ((found.auroc, ""), (found.auroc_of_distractors, " among those that no class reads")):
            if value > _MOST_BY_ACTIVITY or value < 1 - _MOST_BY_ACTIVITY:
                raise PlantedError(
                    f"ranking the channels of {name!r} by mean activation finds the planted ones{against} with an "
                    f"AUROC of {value:.2f} on {images}, at most {_MOST_BY_ACTIVITY} is fair, and as far above 0; "
                    f"{remedy}"
                )
