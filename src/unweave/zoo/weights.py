"""Weights from files, read without running code from them."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unweave.errors import SettingError
from unweave.network.refusals import first_line
from unweave.network.shared_copy import unwrapped

_NESTED_UNDER = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile


def load_weights(network: nn.Module, file: str | Path) -> None:
    """Load a state dict into `network`, strictly but for counters of batches (`num_batches_tracked`).

    The prefixes `module.` (`DataParallel`) and `_orig_mod.` (`torch.compile`) are taken off where all names have them.

    Raises
    ------
    SettingError
        If the file is not a state dict, needs code to be read, or does not fit (naming the first tensor that differs,
        with both shapes). The network is then as it was.
    """
    network = unwrapped(network)
    own = network.state_dict()
    state = _without_prefixes(read_state(file), own)
    for key in [*own, *state]:
        if key.endswith("num_batches_tracked") and (key in own) != (key in state):
            continue
        here, there = _shape(own.get(key)), _shape(state.get(key))
        if here != there:
            raise SettingError(
                f"{file} does not fit {type(network).__name__}: {key!r} is {there} there and {here} here"
            )
    try:
        network.load_state_dict(state, strict=False)
    except Exception as error:
        raise SettingError(f"{file} does not fit {type(network).__name__} ({first_line(error)})") from error


def read_state(file: str | Path) -> dict[str, Tensor]:
    """Names to tensors, from `.safetensors`, or from anything that `torch.save` wrote (`.pt`, `.pth`, `.pth.tar`).

    A state dict is also found inside a checkpoint, under `state_dict`, `model_state_dict` or `model`.

    Raises
    ------
    SettingError
        If the file is missing, cannot be read, needs code to be read, or holds something else.
    """
    if os.path.isdir(file):
        raise SettingError(f"{file} is a folder, not a weights file; give the file in it")
    if not os.path.isfile(file):
        raise SettingError(f"no weights file {file}")
    loaded = _loaded(Path(file))
    while isinstance(loaded, dict):
        inner = next((loaded[key] for key in _NESTED_UNDER if isinstance(loaded.get(key), dict)), None)
        if inner is None:
            break
        loaded = inner
    if not isinstance(loaded, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()
    ):
        raise SettingError(f"{file} holds no state dict (names to tensors); save network.state_dict()")
    for key, value in loaded.items():
        if value.is_meta:
            raise SettingError(f"{file}: {key!r} was saved from the meta device and holds no numbers")
    return dict(loaded)


def _loaded(file: Path) -> Any:
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # archives of scripted networks are warned of, and then refused
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it needs the code of {named[1]}, which was not run" if named else "it is no such file, or damaged"
        raise SettingError(f"{file} cannot be read as weights alone ({reason}); save network.state_dict()") from error
    except Exception as error:
        raise SettingError(
            f"{file} cannot be read as weights alone ({first_line(error)}); save network.state_dict()"
        ) from error


def _without_prefixes(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Prefixes may stand one behind the other. One that all names of the network have too is part of its names."""

    def all_have(prefix: str, names: dict[str, Tensor]) -> bool:
        return bool(names) and all(name.startswith(prefix) for name in names)

    while found := next((one for one in _PREFIXES if all_have(one, state) and not all_have(one, own)), None):
        state = {name.removeprefix(found): tensor for name, tensor in state.items()}
    return state


def _shape(tensor: Tensor | None) -> str:
    return str(tuple(tensor.shape)) if tensor is not None else "absent"
