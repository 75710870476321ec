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
_OLD_DENSENET = re.compile(r"\b(norm|conv)\.([12])(?=\.)")


def load_weights(network: nn.Module, file: str | Path) -> None:
    """`load_state` of what `read_state` reads from `file`."""
    load_state(network, read_state(file), file)


def load_state(network: nn.Module, state: dict[str, Tensor], file: str | Path, without: tuple[str, ...] = ()) -> None:
    """Load a state dict into `network`, strictly but for counters of batches (`num_batches_tracked`).

    Names are those of the network, or as other versions and wrappers write them: behind `module.` (`DataParallel`, of
    the whole or of a part) or `_orig_mod.` (`torch.compile`), or `norm.1` for `norm1` (old
    files of DenseNet). Names that begin with one of `without` are left out. `file` is named in messages.

    Raises
    ------
    SettingError
        If the state does not fit (naming the first tensor that differs, with both shapes). The network is then as it
        was.
    """
    network = unwrapped(network)
    own = network.state_dict()
    state = {name: tensor for name, tensor in _named_as(own, state).items() if not name.startswith(without)}
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


def classes_in(state: dict[str, Tensor], network: nn.Module) -> int | None:
    """How many classes a state dict is for, where its head is all that differs in shape from the network's; else None.

    The head are the tensors whose rows are classes: they have as many rows as each other, here and there.
    """
    own = unwrapped(network).state_dict()
    state = _named_as(own, state)
    pairs = [(state[name], tensor) for name, tensor in own.items() if name in state]
    heads = [(there, here) for there, here in pairs if there.shape != here.shape]
    alike = all(_has_rows(there) and there.shape[1:] == here.shape[1:] for there, here in heads)
    sizes = {(len(there), len(here)) for there, here in heads} if alike else set()
    return next(iter(sizes))[0] if len(sizes) == 1 else None


def _has_rows(tensor: Tensor) -> bool:
    """Whether there are as many rows as the shape says: sparse tensors, and some whose rows are all the same memory,
    can claim any number."""
    return tensor.layout is torch.strided and tensor.is_contiguous() and tensor.ndim > 0 and len(tensor) > 0


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
            # Text that Python 2 wrote comes as bytes. Names are ASCII; anything else must only not stop the reading.
            return torch.load(file, map_location="cpu", weights_only=True, encoding="latin1")
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it needs the code of {named[1]}, which was not run" if named else "it is no such file, or damaged"
        raise SettingError(f"{file} cannot be read as weights alone ({reason}); save network.state_dict()") from error
    except Exception as error:
        raise SettingError(
            f"{file} cannot be read as weights alone ({first_line(error)}); save network.state_dict()"
        ) from error


def _named_as(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict under the names of the network's own, as far as its names are known spellings of them."""
    state = _without_prefixes(state, own)
    named = {}
    for name, tensor in state.items():
        spelling = next((one for one in _spellings(name) if one in own), name)
        named[name if spelling in state else spelling] = tensor
    return named


def _spellings(name: str) -> tuple[str, ...]:
    inner = name
    for prefix in _PREFIXES:  # of a part of the network: features.module.0.weight
        inner = inner.replace(f".{prefix}", ".")
    return inner, _OLD_DENSENET.sub(r"\1\2", inner)


def _without_prefixes(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Prefixes may stand one behind the other. One that all names of the network have too is part of its names."""

    def all_have(prefix: str, names: dict[str, Tensor]) -> bool:
        return bool(names) and all(name.startswith(prefix) for name in names)

    while found := next((one for one in _PREFIXES if all_have(one, state) and not all_have(one, own)), None):
        state = {name.removeprefix(found): tensor for name, tensor in state.items()}
    return state


def _shape(tensor: Tensor | None) -> str:
    return str(tuple(tensor.shape)) if tensor is not None else "absent"
