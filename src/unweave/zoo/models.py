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
from unweave.zoo.digits import DigitsNetwork, train_digits_network
from unweave.zoo.user_file import result_in_file
from unweave.zoo.weights import load_weights, read_state

_CIFAR: dict[str, Callable[[int], nn.Module]] = {
    **{f"resnet{depth}_cifar": partial(CifarResNet, depth) for depth in DEPTHS},
    "vgg19_cifar": CifarVgg,
    "googlenet_cifar": CifarGoogLeNet,
}
"""From a number of classes to a network."""
ZOO = ("digits", *_CIFAR)
"""The names behind `zoo:`."""


def load_model(name: str, weights: str | Path | None = None) -> nn.Module:
    """The network that `name` means, in evaluation mode.

    `torchvision:NAME` and `timm:NAME` load published weights, unless `weights` names a file; so does `hf:owner/name`,
    an image classifier of the Hugging Face hub (`hf:FOLDER`: one that was saved). `zoo:digits` is trained on the spot;
    `zoo:resnet20_cifar`, 32, 44, 56 and 110, `zoo:vgg19_cifar` and `zoo:googlenet_cifar` need `weights`, whose last
    linear layer says how many classes there are. `file.py:function` calls the function, which returns a module.
    `weights` is a state dict: `.safetensors`, or `.pt`, `.pth`, `.pth.tar`, read without running code from it.
    `weights="random"` gives networks without trained weights; a user's function decides on that itself.

    Raises
    ------
    SettingError
        If there is no such network, or the weights do not fit it (naming the first tensor that differs).
    MissingExtraError
        If timm or transformers is needed and not installed.
    """
    kind, _, rest = name.partition(":")
    random = str(weights) == "random"
    if kind in ("torchvision", "timm") and rest:
        network = (_torchvision if kind == "torchvision" else _timm)(rest, trained=weights is None)
    elif kind == "hf" and rest:
        with _published("Hugging Face", rest):
            network = hugging_face.classifier(rest, trained=weights is None)
    elif kind == "zoo" and rest:
        network = _zoo(rest, weights)
    elif name.rpartition(":")[0].endswith(".py"):
        network = _users_network(name, random)
    else:
        raise SettingError(
            f"no model {name!r}; give torchvision:NAME, timm:NAME, hf:NAME, zoo:NAME or path/to/file.py:function"
        )
    if weights is not None and not random:
        load_weights(network, weights)
    try:
        return network.eval()
    except Exception as error:
        raise SettingError(f"{name} cannot be put into evaluation mode ({first_line(error)})") from error


def _users_network(name: str, random: bool) -> nn.Module:
    if random:
        raise SettingError(f"{name} decides on its weights itself; leave --weights random out")
    network = result_in_file(name)
    if not isinstance(network, nn.Module):
        raise SettingError(f"{name} returned {type(network).__name__}, a torch.nn.Module is needed")
    return network


def _zoo(name: str, weights: str | Path | None) -> nn.Module:
    if name not in ZOO:
        raise SettingError(f"the zoo has no network {name!r}; it has {', '.join(ZOO)}")
    if name == "digits":
        return train_digits_network() if weights is None else DigitsNetwork()
    if weights is None:
        raise SettingError(f"zoo:{name} comes without weights; give --weights FILE, or --weights random")
    return _CIFAR[name](10 if str(weights) == "random" else _classes_in(weights))


def _classes_in(weights: str | Path) -> int:
    """The rows of the last linear layer in a weights file; ten where there is none, which is refused later."""
    last = next((one for one in reversed(read_state(weights).values()) if one.ndim == 2), None)
    # A tensor whose rows are all the same memory can claim any size.
    return len(last) if last is not None and last.is_contiguous() and len(last) else 10


def _torchvision(name: str, *, trained: bool) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise SettingError(f"torchvision has no classification network {name!r}")
    extra: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") and not trained else {}
    with _published("torchvision", name):
        network: nn.Module = models.get_model(
            name, weights="DEFAULT" if trained else None, progress=sys.stderr.isatty(), **extra
        )
    return network


def _timm(name: str, *, trained: bool) -> nn.Module:
    timm = _imported_timm()
    if not timm.is_model(name):
        raise SettingError(f"timm has no network {name!r}")
    with _published("timm", name):
        network: nn.Module = timm.create_model(name, pretrained=trained)
    return network


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
    """(preprocessing, size) of `torchvision:NAME`, `timm:NAME` and `hf:NAME`, as they publish it; None where it is not
    known or is none of the named ones."""
    kind, _, rest = name.partition(":")
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
