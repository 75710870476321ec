"""MODEL on the command line: `torchvision:NAME`, `timm:NAME`, or `path/to/file.py:function`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from unweave.data.preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN
from unweave.errors import MissingExtraError, SettingError, UnweaveError
from unweave.zoo.user_file import function_in_file


def load_model(name: str, weights: str | Path | None = None) -> nn.Module:
    """The network that `name` means, in evaluation mode.

    `torchvision:NAME` and `timm:NAME` load published weights, unless `weights` names a file; `file.py:function` calls
    the function, which returns a module. `weights` is a state dict: `.safetensors`, or `.pt`, `.pth`, `.pth.tar`, read
    without running code from it. `weights="random"` gives torchvision and timm networks without trained weights.

    Raises
    ------
    SettingError
        If there is no such network, or the weights do not fit it (naming the first tensor that differs).
    MissingExtraError
        If timm is needed and not installed.
    """
    kind, _, rest = name.partition(":")
    if kind in ("torchvision", "timm") and rest:
        network = (_torchvision if kind == "torchvision" else _timm)(rest, trained=weights is None)
    elif (rest and kind.endswith(".py")) or name.rpartition(":")[0].endswith(".py"):
        network = _called(name)
        if not isinstance(network, nn.Module):
            raise SettingError(f"{name} returned {type(network).__name__}, a torch.nn.Module is needed")
    else:
        raise SettingError(f"no model {name!r}; give torchvision:NAME, timm:NAME or path/to/file.py:function")
    if weights is not None and str(weights) != "random":
        load_weights(network, weights)
    return network.eval()


def _called(name: str) -> Any:
    function = function_in_file(name)
    try:
        return function()
    except Exception as error:
        raise SettingError(f"{name} fails: {type(error).__name__}: {error}") from error


def _torchvision(name: str, *, trained: bool) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise SettingError(f"torchvision has no classification network {name!r}")
    extra: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") and not trained else {}
    try:
        network: nn.Module = models.get_model(name, weights="DEFAULT" if trained else None, **extra)
    except OSError as error:
        raise SettingError(
            f"torchvision's weights of {name} cannot be downloaded ({error}); give --weights FILE, or --weights random"
        ) from error
    return network


def _imported_timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm is not installed; type: pip install 'unweave[timm]'") from error
    return timm


def _timm(name: str, *, trained: bool) -> nn.Module:
    timm = _imported_timm()
    if not timm.is_model(name):
        raise SettingError(f"timm has no network {name!r}")
    network: nn.Module = timm.create_model(name, pretrained=trained)
    return network


def published_preprocessing(name: str) -> tuple[str, int] | None:
    """(preprocessing, size) of `torchvision:NAME` and `timm:NAME`, as they publish it; None where it is not known or is
    none of the named ones."""
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
    else:
        return None
    known = {
        (IMAGENET_MEAN, IMAGENET_DEVIATION): "imagenet",
        ((0.5,) * 3, (0.5,) * 3): "signed",
        ((0.0,) * 3, (1.0,) * 3): "unit",
    }
    found = known.get((tuple(mean), tuple(deviation)))
    return (found, int(size)) if found else None


def load_weights(network: nn.Module, file: str | Path) -> None:
    """Load a state dict into `network`, strictly; a `module.` prefix on all names is taken off.

    Raises
    ------
    SettingError
        If the file is not a state dict, needs code to be read, or does not fit.
    """
    state = _read_state(Path(file))
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    own = network.state_dict()
    for key in [*own, *state]:
        ours, theirs = own.get(key), state.get(key)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            here = tuple(ours.shape) if ours is not None else "absent"
            there = tuple(theirs.shape) if theirs is not None else "absent"
            if theirs is None and key.endswith("num_batches_tracked"):
                continue
            raise SettingError(
                f"{file} does not fit {type(network).__name__}: {key!r} is {there} there and {here} here"
            )
    network.load_state_dict(state, strict=False)


def _read_state(file: Path) -> dict[str, torch.Tensor]:
    if not file.is_file():
        raise SettingError(f"no weights file {file}")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except UnweaveError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingError(f"{file} cannot be read as weights alone ({reason})") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise SettingError(f"{file} holds no state dict (names to tensors)")
    return dict(loaded)
