"""Devices, by name."""

from __future__ import annotations

import torch

from unweave.errors import SettingError


def usable_device(device: str | torch.device) -> torch.device:
    """The device, after trying it.

    Raises
    ------
    SettingError
        If torch does not know it or it is not there.
    """
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise SettingError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return wanted
