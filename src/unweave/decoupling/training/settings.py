"""How a decoupled network is trained: published schedules by name, and what the paper leaves open."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from unweave.decoupling.training.losses import Weights
from unweave.errors import SettingError
from unweave.network.precision import PRECISIONS

AUGMENTATIONS = ("none", "cifar", "imagenet")


def _number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class FitSettings:
    """Everything that the trained weights depend on besides network, images and `keep`.

    `rate` is multiplied by `decay` when each of the shares `decay_at` of the `epochs` is over. `batch` counts images of
    all processes together. Controlling modules and the layers' classifiers, which are new, learn at `controller_rate`
    times the rate. `weight_decay` acts on weights of convolutions and linear layers, not on biases and norms. `weights`
    are those of the losses. `augment="cifar"`: zero padding by an eighth of the size, a random crop, a flip half the
    time; `"imagenet"`: a crop of 0.08 to 1 of the area, resized to the whole, and a flip. `precision="bfloat16"`: mixed
    precision, weights stay as they are. After each epoch the statistics of batch norms are estimated anew on
    `recalibrate` training images (rounded up to whole batches), with gates as in evaluation, where noise has not moved
    them; 0: they stay as training left them. `seed`: of all random numbers.

    Raises
    ------
    SettingError
        If one has a value that it cannot have.
    """

    epochs: int = 10
    batch: int = 128
    rate: float = 0.01
    decay_at: tuple[float, ...] = (0.5, 0.75)
    decay: float = 0.1
    controller_rate: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    weights: Weights = field(default_factory=Weights)
    augment: str = "none"
    precision: str = "float32"
    recalibrate: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 2), ("recalibrate", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
                raise SettingError(f"{name} must be a whole number, at least {least}, found {value!r}")
        for name in ("rate", "decay", "controller_rate"):
            if not (_number(getattr(self, name)) and 0 < getattr(self, name) < float("inf")):
                raise SettingError(f"{name} must be a number above 0, found {getattr(self, name)!r}")
        for name, most in (("momentum", 1.0), ("weight_decay", float("inf"))):
            if not (_number(getattr(self, name)) and 0 <= getattr(self, name) < most):
                raise SettingError(f"{name} must be at least 0 and below {most:g}, found {getattr(self, name)!r}")
        if not all(_number(share) and 0 < share < 1 for share in self.decay_at):
            raise SettingError(f"decay_at must hold shares of the epochs between 0 and 1, found {self.decay_at!r}")
        if not isinstance(self.weights, Weights):
            raise SettingError(f"weights must be the losses' Weights, found {self.weights!r}")
        for name, known in (("augment", AUGMENTATIONS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise SettingError(
                    f"{name} must be {', '.join(known[:-1])} or {known[-1]}, found {getattr(self, name)!r}"
                )

    @classmethod
    def of(cls, settings: str | FitSettings, changes: Mapping[str, Any]) -> FitSettings:
        """The settings called so (one of `SETTINGS`), or as given, with `changes`.

        Raises
        ------
        SettingError
            If there are none of that name, or a change is of no setting.
        """
        if isinstance(settings, str):
            if settings not in SETTINGS:
                raise SettingError(f"no settings {settings!r}; there are {', '.join(SETTINGS)}")
            settings = SETTINGS[settings]
        known = [one.name for one in fields(cls)]
        if unknown := [name for name in changes if name not in known]:
            raise SettingError(f"training has no setting {unknown[0]!r}; it has {', '.join(known)}")
        return replace(settings, **changes)

    def rate_of(self, epoch: int) -> float:
        """The rate of epoch `epoch`, counted from 0."""
        return self.rate * self.decay ** sum(epoch >= share * self.epochs for share in self.decay_at)

    def record(self) -> dict[str, Any]:
        """Plain values, to be kept and compared."""
        return {**asdict(self), "decay_at": list(self.decay_at)}


SETTINGS = {
    "cifar": FitSettings(epochs=200, batch=128, rate=0.1, augment="cifar"),
    "imagenet-vgg16": FitSettings(epochs=120, batch=64, rate=0.01, decay_at=(0.25, 0.5, 0.75), augment="imagenet"),
    "imagenet-resnet18": FitSettings(epochs=120, batch=256, rate=0.01, decay_at=(0.25, 0.5, 0.75), augment="imagenet"),
    "fine-tune": FitSettings(
        epochs=10,
        batch=64,
        rate=0.02,
        controller_rate=20.0,
        recalibrate=2048,
        weights=Weights(mutual_information=0.3, divergence=0.05, sparsity=0.05),
    ),
}
"""ECCV section 4.1 gives epochs, batch, rate and its decay of the first three; the rest is our choice."""
