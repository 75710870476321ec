"""A copy of a network that shares its weights, with what wraps the network or its parts taken off."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from torch import Tensor, nn

from unweave.errors import CaptureError
from unweave.network.refusals import first_line


def unwrapped(network: nn.Module) -> nn.Module:
    """The module inside `DataParallel`, `DistributedDataParallel` and `torch.compile`, or `network` itself."""
    while True:
        compiled = network._modules.get("_orig_mod")  # what torch.compile calls the module it was given
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        elif compiled is not None:
            network = compiled
        else:
            return network


def shared_copy(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode that shares all parameters and buffers with `network`, unwrapped in all its parts.

    Raises
    ------
    CaptureError
        If something in the network cannot be copied.
    """
    network = unwrapped(network)
    memo: dict[int, Any] = {}
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        # Tensors made in inference mode cannot take part in a gradient computation; they alone are copied.
        memo[id(tensor)] = _usable_copy(tensor) if tensor.is_inference() else tensor
    try:
        copied = copy.deepcopy(network, memo).eval()
    except Exception as error:
        raise CaptureError(
            f"{type(network).__name__} cannot be copied ({first_line(error)}); unweave works on a copy that shares "
            "the weights: remove what copy.deepcopy cannot copy (open files, locks, non-leaf tensors)"
        ) from error
    for parent in list(copied.modules()):
        for name, part in list(parent.named_children()):
            parent._modules[name] = unwrapped(part)
    return copied


def _usable_copy(tensor: Tensor) -> Tensor:
    copied = tensor.clone()
    return nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied
