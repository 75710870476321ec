"""Integrated gradients along the gates, of one batch of images."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from unweave.errors import NumericError, SettingError
from unweave.network.precision import autocast
from unweave.network.tapping import Multiplier, check_finite
from unweave.search.preparation import Prepared
from unweave.search.reference import observe
from unweave.search.routing_gates import by_site
from unweave.search.targets import Target

Of = Literal["class_probability", "logit"]
Over = Literal["own", "all"]

_SCALE = 2.0**64
"""What answers are multiplied with while gradients are taken. Near closed gates, gradients at the first sites are
products of many small gates: without it they are subnormal, which a CPU takes several times as long for. A power of
two changes no digit of the others."""


@dataclass(frozen=True)
class Question:
    """What is asked of every channel. See `attribute` for what each means.

    Raises
    ------
    SettingError
        If a value cannot be used.
    """

    steps: int = 8
    of: Of = "class_probability"
    signed: bool = True
    over: Over = "own"

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, numbers.Integral) or self.steps < 1:
            raise SettingError(f"steps must be a whole number from 1, found {self.steps!r}")
        for name, known in (("of", get_args(Of)), ("over", get_args(Over))):
            if getattr(self, name) not in known:
                raise SettingError(f"{name} must be {' or '.join(map(repr, known))}, found {getattr(self, name)!r}")
        if not isinstance(self.signed, bool):
            raise SettingError(f"signed must be True or False, found {self.signed!r}")

    def record(self) -> dict[str, Any]:
        """Plain values, for manifests."""
        return asdict(self)

    def points(self) -> list[float]:
        """Where on the way from closed to open gates gradients are taken: the middles of `steps` equal parts. One step
        is the first-order Taylor expansion at the untouched network, whose gates are open."""
        return [1.0] if self.steps == 1 else [(k + 0.5) / self.steps for k in range(self.steps)]

    def answer(self, target: Target, scores: Tensor) -> Tensor:
        """`F` per image, from class scores `[batch, classes]`."""
        collapsed, own = target.collapse(scores), target.members[0]
        return collapsed[:, own] if self.of == "logit" else collapsed.log_softmax(1)[:, own]


def attribution_scores(
    prepared: Prepared,
    images: Tensor,
    targets: Sequence[Target],
    shows: Tensor,
    question: Question,
    precision: str = "float32",
) -> Tensor:
    """Sums over images, `[rows, channels of all sites]`, of the attributions to every row, or of their absolute values.

    For image x and row c, with all gates of all sites at the same `t` in [0, 1]:

        A_i(x) = integral over t of dF_c(x; t) / dg_i,      sum over all channels i = F_c(x; 1) - F_c(x; 0)

    by the midpoint rule. `shows` `Bool[rows, images]`: which images count for which row. Every image has gates of its
    own, so that no image's gradient depends on another. `precision`: of the network's own operations.

    Raises
    ------
    NumericError
        If NaN or infinity appears, naming the first site.
    """
    # Where an image counts for one row alone, as for its own class, one backward pass serves all rows.
    alone = bool((shows.sum(0) <= 1).all())
    scale = _SCALE if torch.finfo(prepared.dtype).max > _SCALE else 1.0
    totals = _gradients(prepared, images, targets, shows, question, precision, alone, scale)
    if not torch.isfinite(totals.sum()):  # a part of the network may be of float16, which has no room for the scale
        totals = _gradients(prepared, images, targets, shows, question, precision, alone, 1.0)
    if not torch.isfinite(totals.sum()):
        untouched = observe(prepared.tapped, images)
        check_finite(untouched.activations, untouched.scores, prepared.tapped.sites)
        raise NumericError("the gradient along the gates is NaN or infinite; is an operation not smooth near 0?")
    found = totals if question.signed else totals.abs()
    return shows.to(found.dtype) @ found[0] if alone else found.sum(1)


def _gradients(
    prepared: Prepared,
    images: Tensor,
    targets: Sequence[Target],
    shows: Tensor,
    question: Question,
    precision: str,
    alone: bool,
    scale: float,
) -> Tensor:
    """Means over the points of the gradients along the gates, `[1 or rows, images, channels]`."""
    sites = prepared.tapped.sites
    count = sum(site.channels for site in sites)
    points = question.points()
    parts = 1 if alone else len(targets)
    totals = torch.zeros(parts, len(images), count, device=images.device, dtype=prepared.dtype)
    for point in points:
        gates = torch.full((len(images), count), point, device=images.device, dtype=prepared.dtype, requires_grad=True)
        with autocast(images.device, precision):
            scores = prepared.tapped(images, Multiplier(sites, by_site(gates, sites)))
        scores = scores.to(prepared.dtype)
        answers = [question.answer(target, scores[own]).sum() for target, own in zip(targets, shows, strict=True)]
        for part, answer in enumerate([torch.stack(answers).sum()] if alone else answers):
            (gradient,) = torch.autograd.grad(answer * scale, gates, retain_graph=part + 1 < parts)
            totals[part] += gradient / scale / len(points)
    return totals
