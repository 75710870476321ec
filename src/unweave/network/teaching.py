"""Teaching the table of operations: lines that a user adds, and how they reach other processes."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

import torch

from unweave.errors import SettingError
from unweave.network.operations import OPERATIONS, TAUGHT, Effect, Operation

_MODULES: dict[str, str] = {}
"""For taught operations, by name, the module that defines them, where it was told."""


def teach_operation(
    name: str,
    effect: str,
    *,
    activation: bool = False,
    multiplies: bool = False,
    keeps_zero: bool = False,
    mixes: int = 1,
    defined_in: str | None = None,
) -> None:
    """Teach this process what an operation does to the channels that flow through it.

    Parameters
    ----------
    name
        As PyTorch has it: `"tril"` for `torch.ops.aten.tril`, `"mine::swish"` for one registered with
        `torch.library`.
    effect
        `"keep"`: every channel of the result is made of the same channel of the first operand. `"norm"`: so too, with
        statistics over positions or channels. `"pool"`: so too, over a neighbourhood of positions. `"mix"`: new
        channels, each made of many. `"product"`: a matrix product of computed values. `"concatenate"`, `"combine"`: two
        values meet, one behind the other or channel by channel. `"move"`: the same numbers under another shape.
        `"select"`: part of the numbers. `"pad"`. `"reduce"`: the dimensions in the second argument are summed away.
    activation
        Of `"keep"`: it ends the layer before it; sites of that layer are behind it.
    multiplies
        Of `"combine"`: the two are multiplied, so that one may be a gate of the other.
    keeps_zero
        A channel that is zero everywhere stays so.
    mixes
        Of `"mix"`: the dimension of the channels, 1 as in convolutions or -1 as in linear layers.
    defined_in
        The module that registers the operation when it is imported; a search's other processes import it. Not needed
        for PyTorch's own, or where importing the network's class does it.

    Raises
    ------
    SettingError
        If there is no such operation or effect, the table has it already, or the rest does not go with the effect.
    """
    key = name.replace("::", ".")
    effects = [one.value for one in Effect if one is not Effect.UNKNOWN]
    if effect not in effects:
        raise SettingError(f"no effect {effect!r} of an operation; there are {', '.join(effects)}")
    if key in OPERATIONS:
        raise SettingError(f"the table knows {name!r} already: its effect is {OPERATIONS[key].effect.value!r}")
    if activation and effect != "keep":
        raise SettingError(f"an activation keeps channels; give effect 'keep', found {effect!r}")
    if multiplies and effect != "combine":
        raise SettingError(f"what multiplies two values combines them; give effect 'combine', found {effect!r}")
    if mixes not in (1, -1) or (mixes == -1 and effect != "mix"):
        raise SettingError(f"mixes is 1 or, for effect 'mix', -1; found {mixes!r} for effect {effect!r}")
    if defined_in is not None:
        _import(name, defined_in)
    _check_exists(name, key)
    _learn(key, Operation(Effect(effect), activation, multiplies, keeps_zero, mixes), defined_in)


def _import(name: str, module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise SettingError(f"{name!r} is defined in {module!r}, which cannot be imported ({error})") from error


def _check_exists(name: str, key: str) -> None:
    namespace, dot, own = key.rpartition(".")
    library: Any = getattr(torch.ops, namespace if dot else "aten")
    if own and hasattr(library, own):
        return
    near = ", ".join(difflib.get_close_matches(own, dir(library), 3)) or "none"
    raise SettingError(
        f"PyTorch has no operation {name!r} (closest: {near}); give the name that `unweave sites` prints, or register "
        "it first: namespace::name"
    )


def _learn(key: str, operation: Operation, defined_in: str | None) -> None:
    TAUGHT[key] = operation
    if defined_in is not None:
        _MODULES[key] = defined_in


class Taught:
    """All that this process was taught; where it is unpickled, that process knows it from then on."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _taught_again, ([(key, line, _MODULES.get(key)) for key, line in TAUGHT.items()],)


def _taught_again(lines: Iterable[tuple[str, Operation, str | None]]) -> Taught:
    for key, line, module in lines:
        if module is not None:
            _import(key, module)
        _learn(key, line, module)
    return Taught()
