"""MODEL on the command line: `torchvision:NAME`, `timm:NAME`, `hf:NAME`, `zoo:NAME`, or `path/to/file.py:function`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from unweave.data.preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN
from unweave.errors import MissingExtraError, SettingError, UnweaveError
from unweave.network.refusals import first_line
from unweave.zoo import hugging_face
from unweave.zoo.cifar_googlenet import CifarGoogLeNet
from unweave.zoo.cifar_resnet import DEPTHS, CifarResNet
from unweave.zoo.cifar_vgg import CifarVgg
from unweave.zoo.darts import AUXILIARY_HEAD, CifarDarts, ImageNetDarts
from unweave.zoo.digits import DigitsNetwork, train_digits_network
from unweave.zoo.user_file import result_in_file
from unweave.zoo.weights import classes_in, load_state, read_state

_UNTRAINED: dict[str, Callable[..., nn.Module]] = {
    **{f"resnet{depth}_cifar": partial(CifarResNet, depth) for depth in DEPTHS},
    "vgg19_cifar": CifarVgg,
    "googlenet_cifar": CifarGoogLeNet,
    "darts_cifar": CifarDarts,
    "darts_imagenet": ImageNetDarts,
}
"""From a number of classes, or the usual one, to a network."""
ZOO = ("digits", *_UNTRAINED)
"""The names behind `zoo:`."""
_LEFT_OUT = {"zoo:darts_cifar": (AUXILIARY_HEAD,), "zoo:darts_imagenet": (AUXILIARY_HEAD,)}
"""How names in published files begin that have no part in evaluation."""


def load_model(name: str, weights: str | Path | None = None) -> nn.Module:
    """The network that `name` means, in evaluation mode.

    `torchvision:NAME` and `timm:NAME` load published weights, unless `weights` names a file; so does `hf:owner/name`,
    an image classifier of the Hugging Face hub (`hf:FOLDER`: one that was saved). `zoo:digits` is trained on
    the spot; the rest of the zoo (`zoo:resnet20_cifar`, 32, 44, 56 and 110, `zoo:vgg19_cifar`, `zoo:googlenet_cifar`,
    `zoo:darts_cifar`, `zoo:darts_imagenet`) needs `weights`. `file.py:function` calls the function, which returns a
    module. `weights` is a state dict: `.safetensors`, or `.pt`, `.pth`, `.pth.tar`, read without running code from it.
    For torchvision it may also be the name of published weights, such as `IMAGENET1K_V1`.
    Where its head is for another number of classes, the network gets as many; a user's network is what it is.
    `weights="random"` gives networks without trained weights; a user's function decides on that itself.

    Raises
    ------
    SettingError
        If there is no such network, or the weights do not fit it (naming the first tensor that differs).
    MissingExtraError
        If timm or transformers is needed and not installed.
    """
    kind, _, rest = name.partition(":")
    version = str(weights) if kind == "torchvision" and str(weights) in _versions(rest) else None
    if version is not None:
        made, weights = _torchvision(rest, trained=True, version=version), None
    elif kind in _KINDS and rest:
        made = _KINDS[kind](rest, trained=weights is None)
    elif name.rpartition(":")[0].endswith(".py"):
        made = _users_network(name, random=str(weights) == "random")
    else:
        raise SettingError(
            f"no model {name!r}; give torchvision:NAME, timm:NAME, hf:NAME, zoo:NAME or path/to/file.py:function"
        )
    network = made()
    if weights is not None and str(weights) != "random":
        state = read_state(weights)
        if kind in _KINDS and (classes := classes_in(state, network)):
            network = made(classes)
        load_state(network, state, weights, _LEFT_OUT.get(name, ()))
    try:
        return network.eval()
    except Exception as error:
        raise SettingError(f"{name} cannot be put into evaluation mode ({first_line(error)})") from error


_Made = Callable[..., nn.Module]
"""Makes the network, with so many classes where a number is given."""


def _users_network(name: str, *, random: bool) -> _Made:
    if random:
        raise SettingError(f"{name} decides on its weights itself; leave --weights random out")
    network = result_in_file(name)
    if not isinstance(network, nn.Module):
        raise SettingError(f"{name} returned {type(network).__name__}, a torch.nn.Module is needed")
    return lambda: network


def _zoo(name: str, *, trained: bool) -> _Made:
    if name not in ZOO:
        raise SettingError(f"the zoo has no network {name!r}; it has {', '.join(ZOO)}")
    if name == "digits":
        return train_digits_network if trained else DigitsNetwork
    if trained:
        raise SettingError(f"zoo:{name} comes without weights; give --weights FILE, or --weights random")
    return _UNTRAINED[name]


def _versions(name: str) -> tuple[str, ...]:
    """What torchvision calls the weights that it publishes of a network."""
    from torchvision import models

    return tuple(models.get_model_weights(name).__members__) if name in models.list_models(module=models) else ()


def _torchvision(name: str, *, trained: bool, version: str = "DEFAULT") -> _Made:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise SettingError(f"torchvision has no classification network {name!r}")
    extra: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") and not trained else {}

    def made(*classes: int) -> nn.Module:
        own = {"num_classes": classes[0]} if classes else {}
        with _published("torchvision", name):
            network: nn.Module = models.get_model(
                name, weights=version if trained else None, progress=sys.stderr.isatty(), **extra, **own
            )
        return network

    return made


def _timm(name: str, *, trained: bool) -> _Made:
    timm = _imported_timm()
    if not timm.is_model(name):
        raise SettingError(f"timm has no network {name!r}")

    def made(*classes: int) -> nn.Module:
        own = {"num_classes": classes[0]} if classes else {}
        with _published("timm", name):
            network: nn.Module = timm.create_model(name, pretrained=trained, **own)
        return network

    return made


def _hugging_face(place: str, *, trained: bool) -> _Made:
    def made(*classes: int) -> nn.Module:
        with _published("Hugging Face", place):
            return hugging_face.classifier(place, trained=trained, classes=classes[0] if classes else None)

    return made


_KINDS = {"torchvision": _torchvision, "timm": _timm, "hf": _hugging_face, "zoo": _zoo}


def _imported_timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm is not installed; type: pip install 'unweave[timm]'") from error
    return timm


@contextlib.contextmanager
def _published(library: str, name: str) -> Iterator[None]:
    """While a library loads published weights: no code from the file runs, and what it prints is no result of ours."""
    force = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(force)
    os.environ[force] = "1"
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except UnweaveError:
        raise
    except OSError as error:
        raise SettingError(
            f"{library}'s weights of {name} cannot be downloaded ({first_line(error)}); give --weights FILE, or "
            "--weights random"
        ) from error
    except Exception as error:
        raise SettingError(
            f"{library} cannot load {name} ({first_line(error)}); remove a damaged file from its cache, or give "
            "--weights FILE"
        ) from error
    finally:
        if before is None:
            del os.environ[force]
        else:
            os.environ[force] = before


def published_preprocessing(name: str) -> tuple[str, int] | None:
    """(preprocessing, size) of `torchvision:NAME`, `timm:NAME`, `hf:NAME` and `zoo:darts_imagenet`, as they are
    published; None where it is not known or is none of the named ones."""
    kind, _, rest = name.partition(":")
    if name == "zoo:darts_imagenet":
        return "imagenet", 224
    if kind == "torchvision":
        from torchvision import models

        if rest not in models.list_models(module=models):
            return None
        published = models.get_model_weights(rest).DEFAULT.transforms()
        mean, deviation, size = published.mean, published.std, published.crop_size[0]
    elif kind == "timm":
        settings = _imported_timm().get_pretrained_cfg(rest)
        if settings is None:
            return None
        mean, deviation, size = settings.mean, settings.std, settings.input_size[-1]
    elif kind == "hf":
        with _published("Hugging Face", rest):
            scaling = hugging_face.preprocessing_of(rest)
        if scaling is None:
            return None
        mean, deviation, size = scaling
    else:
        return None
    known = {
        (IMAGENET_MEAN, IMAGENET_DEVIATION): "imagenet",
        ((0.5,) * 3, (0.5,) * 3): "signed",
        ((0.0,) * 3, (1.0,) * 3): "unit",
    }
    found = known.get((tuple(mean), tuple(deviation)))
    return (found, int(size)) if found else None
