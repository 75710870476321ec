"""What an objective is: the terms of the loss that a search minimises, for one row (class) at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from unweave.errors import SettingError


@dataclass(frozen=True)
class Objective(ABC):
    """The loss of one row:

        scale(n) * ( mean_x class_term + sum_i mean_x [ chain_term_i + local_term_i ]
                     + penalty_scale(n) * sum_i gate_term_i )

    over the row's images x and the sites i. All terms are given per image (`[batch]`) or per row (`[rows]`).
    `chain_term` reads the gated chain `h_i`, so its gradient flows back through the network; it is handed to the
    backward pass in closed form (`chain_slopes`). `local_term` reads the untouched activation `r_i` and the gate alone.
    """

    beta: float
    reconstruction: bool = True

    name: ClassVar[str]
    source: ClassVar[str]
    only_correct: ClassVar[bool] = False
    """Site terms count only images that the untouched network classifies correctly; a row without any makes no step."""
    has_chain_term: ClassVar[bool] = False
    has_local_term: ClassVar[bool] = False
    noisy: ClassVar[bool] = False
    """Gates are `sigmoid(score) + noise * softplus(spread)`, the spread learned too (ICCV Eq. 7)."""
    shows_others: ClassVar[bool] = False
    """Rows see as many images of other classes as of their own; `others_term` is their class term."""
    binary: ClassVar[bool] = False
    """Gates are 1 where the score is above 0, else 0, with the gradient of `sigmoid(score)` (straight-through)."""
    reads_activations: ClassVar[bool] = True
    """Whether a term reads activations of the untouched network; its class scores are known always."""
    tells_size: ClassVar[bool] = False
    """Whether it can be searched for at a told size (`keep`), by closing channels one after the other."""
    default_beta: ClassVar[float | None] = None
    """What beta is when nobody says; None: the elbow's, which needs a reconstruction at the sites."""
    start: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """Mean and deviation of the random scores that a search starts with."""
    default_start: ClassVar[Literal["random", "attribution"]] = "random"
    """Where a search starts when nobody says."""

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise SettingError(f"beta must be a number from 0, found {self.beta!r}")

    def settings(self) -> dict[str, Any]:
        """Everything that makes this objective what it is, for the manifest."""
        return {"name": self.name, **asdict(self)}

    def scale(self, sites: int) -> float:
        """Factor of the whole loss."""
        return 1.0

    def rate_share(self, done: float) -> float:
        """Length of a step as a share of the rate, where the share `done` of the passes is over."""
        return 1.0

    def penalty_scale(self, sites: int) -> float:
        """Factor of `gate_term` besides."""
        return 1.0

    @abstractmethod
    def class_term(self, scores: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Per image `[batch]`, from the gated and the untouched class scores `[batch, classes]`."""

    def others_term(self, scores: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """As `class_term`, of images of other classes; `labels` is the row's class."""
        raise TypeError(f"{self.name} does not look at images of other classes")

    def gate_term(self, gate: Tensor) -> Tensor:
        """Per row `[rows]`, from the gates of one site `[rows, channels]`."""
        return torch.zeros(len(gate), dtype=gate.dtype, device=gate.device)

    def chain_term(self, gated: Tensor, reference: Tensor) -> Tensor:
        """Per image `[batch]`, from the gated activation `h_i` and the untouched `r_i`, both `[batch, ...]`."""
        raise TypeError(f"{self.name} has no term on the gated chain")

    def chain_slopes(self, gated: Tensor, reference: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """`(a, b)`, each `[batch]` or a number, such that the gradient of `chain_term` by `h` is `a h - b r`."""
        raise TypeError(f"{self.name} has no term on the gated chain")

    def local_term(self, reference: Tensor, gate: Tensor, spread: Tensor | None) -> Tensor:
        """Per image `[batch]`; `gate` and `spread` are shaped to broadcast over `reference`."""
        raise TypeError(f"{self.name} has no term on gates alone")

    def reconstruction_error(self, gated: Tensor, reference: Tensor) -> Tensor:
        """What the elbow puts on one axis: how far `h_i` is from `r_i`, per image `[batch]`."""
        return per_image(gated - reference).square().sum(1)

    def size(self, gate: Tensor, gated: Tensor) -> Tensor:
        """What the elbow puts on the other axis: what the penalty weighs, without beta, averaged over images; `[]`."""
        return self._with_beta(1.0).gate_term(gate).mean()

    def _with_beta(self, beta: float) -> Objective:
        from dataclasses import replace

        return replace(self, beta=beta)


def per_image(value: Tensor) -> Tensor:
    """`[batch, everything else]`."""
    return value.flatten(1)
