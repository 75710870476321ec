"""The settings of the papers' runs, by name: `iccv2021:vgg16:imagenet`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from unweave.errors import SettingError

_MODELS = {
    "vgg16": "torchvision:vgg16",
    "resnet50": "torchvision:resnet50",
    "densenet121": "torchvision:densenet121",
    "darts": "zoo:darts_imagenet",
}
_CLASSES = {"imagenet": 1000, "places365": 365}
_CLASS_NAMES = {"imagenet": "imagenet"}

_ICCV_BETA = {"imagenet": (4.5, 0.02, 0.02, 0.45), "places365": (5.0, 0.02, 0.02, 0.20)}
_PREPRINT_LAMBDA = {"imagenet": (6.0, 0.03, 0.08, 0.3), "places365": (6.0, 0.023, 0.02, 0.19)}
_PREPRINT_RATE = {"imagenet": (0.1, 2.5, 0.6, 0.1), "places365": (0.1, 2.5, 0.6, 0.3)}
"""In the order of the networks above."""


@dataclass(frozen=True)
class PublishedSettings:
    """What a paper ran a search with. `search` are the arguments of `disentangle`:

        settings = uw.published_settings("iccv2021:vgg16:imagenet")
        paths = uw.disentangle(network, images, **settings.search)

    Attributes
    ----------
    name, source
        `paper:network:data set`, and where the numbers stand.
    model, classes
        MODEL as commands take it, and how many classes its network has.
    level
        The positions of the masks, as `find_sites` takes them.
    objective, beta, rate, passes, batch, augment
        As `disentangle` takes them; `beta` is the preprint's lambda in its own runs.
    preprocess, size
        How images are scaled, and the side of the square that is cropped from them, in pixels.
    weights
        The name of torchvision's weights that the paper used; None where they are a file of one's own.
    classes_file
        Where the names of the classes come from, as `--classes-file` takes it; None where the data set brings them.
    """

    name: str
    source: str
    model: str
    classes: int
    level: str
    objective: str
    beta: float
    rate: float
    passes: int = 20
    batch: int = 16
    augment: str = "none"
    preprocess: str = "imagenet"
    size: int = 224
    weights: str | None = None
    classes_file: str | None = None

    @property
    def search(self) -> dict[str, Any]:
        """Keyword arguments of `disentangle`."""
        names = ("objective", "beta", "rate", "passes", "batch", "augment")
        return {"sites": self.level, **{name: getattr(self, name) for name in names}}


def published_settings(name: str) -> PublishedSettings:
    """The settings of a published run.

    `iccv2021:NETWORK:DATASET` (the ICCV paper, with its program's objective `released`, batches and augmentation) or
    `preprint:NETWORK:DATASET` (`concept-path`; the preprint leaves passes, batches and augmentation open: they are this
    library's), with `vgg16`, `resnet50`, `densenet121` or `darts`, on `imagenet` or `places365`.

    Raises
    ------
    SettingError
        If there are none of that name; it names the closest.
    """
    if name not in PUBLISHED_SETTINGS:
        near = difflib.get_close_matches(name, PUBLISHED_SETTINGS, 3, 0.3) or list(PUBLISHED_SETTINGS)[:3]
        raise SettingError(
            f"no settings {name!r}; closest: {', '.join(near)} (iccv2021 or preprint, then {', '.join(_MODELS)}, then "
            f"{' or '.join(_CLASSES)})"
        )
    return PUBLISHED_SETTINGS[name]


def _weights(network: str, data: str) -> str | None:
    """Those of torchvision at the time of the papers; its newer ones of ResNet50 are another network."""
    return "IMAGENET1K_V1" if data == "imagenet" and _MODELS[network].startswith("torchvision:") else None


def _iccv(network: str, position: int, data: str) -> PublishedSettings:
    return _made(
        "iccv2021",
        network,
        data,
        source="ICCV 2021, section 4.1, and the table of betas in its program",
        objective="released",
        beta=_ICCV_BETA[data][position],
        rate=0.1,
        augment="published",
    )


def _preprint(network: str, position: int, data: str) -> PublishedSettings:
    return _made(
        "preprint",
        network,
        data,
        source="preprint, section 5.1 (rates and lambdas)",
        objective="concept-path",
        beta=_PREPRINT_LAMBDA[data][position],
        rate=_PREPRINT_RATE[data][position],
    )


def _made(paper: str, network: str, data: str, **own: Any) -> PublishedSettings:
    """What both papers have alike, and what a run has of its own."""
    return PublishedSettings(
        name=f"{paper}:{network}:{data}",
        model=_MODELS[network],
        classes=_CLASSES[data],
        level=f"iccv2021:{network}",
        weights=_weights(network, data),
        classes_file=_CLASS_NAMES.get(data),
        **own,
    )


PUBLISHED_SETTINGS = {
    settings.name: settings
    for made in (_iccv, _preprint)
    for data in _CLASSES
    for position, network in enumerate(_MODELS)
    for settings in (made(network, position, data),)
}
"""All of them, by name."""
