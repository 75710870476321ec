"""Mixed precision: the network's own operations in bfloat16, everything that is computed from its scores as before."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from unweave.errors import SettingError

PRECISIONS = ("float32", "bfloat16")


def check_precision(precision: str, dtype: torch.dtype) -> None:
    """Refuse an unknown precision, and mixed precision of a network of `dtype` float64, which it would narrow twice.

    Raises
    ------
    SettingError
    """
    if precision not in PRECISIONS:
        raise SettingError(f"no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    if precision == "bfloat16" and dtype == torch.float64:
        raise SettingError("precision bfloat16 needs a float32 network, this one is float64: convert it, net.float()")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Mixed precision within the block, where it is asked for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
