"""Critical data routing paths of one batch: gates of each input's own, and the descent that finds them."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn import functional

from unweave.errors import NumericError, SettingError
from unweave.network.sites import Site
from unweave.network.tapping import Multiplier, check_finite
from unweave.search.preparation import Prepared
from unweave.search.reference import observe

_LARGEST = 1e30
"""Settings stay well within what a float32 holds."""


@dataclass(frozen=True)
class Descent:
    """How gates are learned; the values of the paper. See `route` for what each means.

    Raises
    ------
    SettingError
        If a value cannot be used.
    """

    steps: int = 30
    rate: float = 0.1
    momentum: float = 0.9
    weight: float = 0.05
    bound: float = 10.0

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, numbers.Integral) or self.steps < 1:
            raise SettingError(f"steps must be a whole number of at least 1, found {self.steps!r}")
        for name, least, most in (
            ("rate", 0.0, _LARGEST),
            ("momentum", 0.0, 1.0),
            ("weight", 0.0, _LARGEST),
            ("bound", 1.0, _LARGEST),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not least <= value < most:
                upper = f" and below {most:g}"
                raise SettingError(f"{name} must be a number of at least {least:g}{upper}, found {value!r}")
            object.__setattr__(self, name, float(value))
        if self.rate == 0:
            raise SettingError("rate must be above 0: with 0 no gate would move")
        object.__setattr__(self, "steps", int(self.steps))

    def record(self) -> dict[str, Any]:
        """Plain values, for manifests."""
        return asdict(self)


@dataclass(frozen=True)
class Routes:
    """What was found for a batch of inputs.

    `gates` `[batch, channels of all sites]`; `taken` `[batch]`: the iterate they are of (0: all gates 1); `losses`
    `[batch]` there. `predictions` `[batch]`: the network's own; `masks_keep` `[batch]`: whether the masks `gates > 0`
    alone, without the gates' sizes, leave it as it is.
    """

    gates: Tensor
    taken: Tensor
    losses: Tensor
    predictions: Tensor
    masks_keep: Tensor


def find_routes(prepared: Prepared, images: Tensor, descent: Descent) -> Routes:
    """The critical data routing path of each of `images` `[batch, ...]`, which are where the network is.

    Per input, with `z` the network's own class scores, `z'` those with every site's channels multiplied with gates `g`:

        L = CE(softmax(z'), softmax(z)) + weight * sum g,    v = momentum v + dL/dg,    g = clamp(g - rate v, 0, bound)

    from `g = 1`, `v = 0`. Iterates are those before every step and after the last. Losses are summed over the batch, so
    no input's gradient depends on another. Iterate 0 is the network itself and keeps its prediction, so that there
    always is a path: all channels with gate 1, where no later iterate keeps the prediction at a lower loss.

    Raises
    ------
    NumericError
        If NaN or infinity appears, naming the first site.
    """
    own = observe(prepared.tapped, images).scores.to(prepared.dtype)
    wanted, predictions = functional.softmax(own, 1), own.argmax(1)
    gates = torch.ones(len(images), prepared.sites.channels, device=images.device, dtype=prepared.dtype)
    velocity, best = torch.zeros_like(gates), gates.clone()
    taken = torch.zeros(len(images), dtype=torch.long, device=images.device)
    lowest = torch.full((len(images),), math.inf, device=images.device, dtype=prepared.dtype)
    for step in range(descent.steps + 1):
        gates.requires_grad_()
        scores = _scores(prepared, images, gates)
        losses = functional.cross_entropy(scores, wanted, reduction="none") + descent.weight * gates.sum(1)
        if not torch.isfinite(losses.sum()):
            _refuse(prepared, images, gates, step)
        with torch.no_grad():
            better = (losses < lowest) & ((scores.argmax(1) == predictions) | (step == 0))
            best, lowest = torch.where(better[:, None], gates, best), torch.where(better, losses, lowest)
            taken = torch.where(better, step, taken)
        if step < descent.steps:
            (gradient,) = torch.autograd.grad(losses.sum(), gates)
            velocity = velocity.mul_(descent.momentum).add_(gradient)
            gates = gates.detach().sub(velocity, alpha=descent.rate).clamp_(0, descent.bound)
    with torch.no_grad():
        masked = _scores(prepared, images, (best > 0).to(best.dtype))
    return Routes(best, taken, lowest, predictions, masked.argmax(1) == predictions)


def by_site(table: Tensor, sites: Sequence[Site]) -> list[Tensor]:
    """`table` `[batch, channels of all sites]`, split into a `[batch, channels]` for every site."""
    return list(torch.split_with_sizes(table, [site.channels for site in sites], 1))


def _scores(prepared: Prepared, images: Tensor, gates: Tensor) -> Tensor:
    sites = prepared.tapped.sites
    scores: Tensor = prepared.tapped(images, Multiplier(sites, by_site(gates, sites)))
    return scores.to(prepared.dtype)


class _GatedRecorder(Multiplier):
    """A multiplier that keeps what it hands on."""

    def __init__(self, sites: Sequence[Site], gates: Sequence[Tensor]) -> None:
        super().__init__(sites, gates)
        self.values: list[Tensor] = []

    def __call__(self, position: int, value: Tensor) -> Tensor:
        self.values.append(super().__call__(position, value))
        return self.values[-1]


def _refuse(prepared: Prepared, images: Tensor, gates: Tensor, step: int) -> NoReturn:
    """Say where gated activations stopped being numbers."""
    sites = prepared.tapped.sites
    tap = _GatedRecorder(sites, by_site(gates, sites))
    with torch.no_grad():
        scores = prepared.tapped(images, tap)
    try:
        check_finite(tap.values, scores, sites)
    except NumericError as error:
        raise NumericError(f"{error}, at step {step} of the gates; a lower rate or bound keeps them smaller") from None
    raise NumericError(f"the loss of the gates is NaN or infinite at step {step}; lower rate, weight or bound")
