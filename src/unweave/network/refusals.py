"""Networks that cannot be captured, told before the attempt; and why an attempt failed, in one line."""

from __future__ import annotations

import inspect
import itertools
import textwrap
from typing import Any

import torch
from torch import Tensor, nn

from unweave.errors import CaptureError, DataError


def first_line(error: BaseException) -> str:
    """`KeyError: 'no such layer'`: an error's kind and the first line of its message, shortened to 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return textwrap.shorten(f"{type(error).__name__}: {lines[0] if lines else 'no message'}", 300, placeholder=" ...")


def check_module(network: Any) -> None:
    """Refuse what is not a module, or has parts that `torch.export` cannot go through.

    Raises
    ------
    CaptureError
        Naming the part of the network that is in the way, and what to give in its place.
    """
    if not isinstance(network, nn.Module):
        raise CaptureError(f"a torch.nn.Module is needed, found {type(network).__name__}")
    for path, module in network.named_modules():
        where = f"{path!r}, a part of the network, is" if path else "the network is"
        if isinstance(module, torch.jit.ScriptModule):
            raise CaptureError(f"{where} a scripted one, which cannot be captured; give the Python module it came from")
        # Packed weights are not tensors: nothing can follow their channels.
        if any(isinstance(value, torch.ScriptObject) for value in vars(module).values()):
            raise CaptureError(f"{where} quantised, its weights packed; give the network as it was before, in float")
    for name, tensor in itertools.chain(network.named_parameters(), network.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise CaptureError(
                f"the network has lazy modules without weights yet ({name!r}); call it once on a batch of images"
            )


def check_numbers(network: nn.Module) -> None:
    """Refuse a network on the meta device, whose graph and sites can be found and nothing else.

    Raises
    ------
    CaptureError
    """
    for name, tensor in itertools.chain(network.named_parameters(), network.named_buffers()):
        if tensor.is_meta:
            raise CaptureError(
                f"{name!r} is on the meta device, which holds no numbers; make the network on the CPU, load its weights"
            )


def check_inputs(network: nn.Module) -> None:
    """Refuse a network whose `forward` needs more than images.

    Raises
    ------
    CaptureError
    """
    try:
        parameters = inspect.signature(network.forward).parameters.values()
    except (TypeError, ValueError):
        return  # a forward written in C says nothing about what it takes
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [one.name for one in parameters if one.default is one.empty and one.kind not in variable]
    if len(needed) > 1:
        raise CaptureError(
            f"the network takes {len(needed)} inputs ({', '.join(needed)}), and is given images alone; wrap it in a "
            "module whose forward takes images and adds the rest"
        )


def check_example(example: Any) -> None:
    """Refuse what is not a batch of images.

    Raises
    ------
    DataError
    """
    if not isinstance(example, Tensor) or example.ndim < 2:
        found = f"shape {tuple(example.shape)}" if isinstance(example, Tensor) else type(example).__name__
        raise DataError(f"`example` must be a batch of images [batch, ...], found {found}")


def why_not_captured(error: BaseException, name: str, image_shape: tuple[int, ...]) -> str:
    """What `torch.export` says of a network that it cannot capture, and what to change."""
    if "DataDependent" in type(error).__name__ or "data-dependent" in str(error):
        way_out = (
            "Python code decides there on the values of tensors; use tensor operations such as torch.where, or give "
            "the part of the network before it: what returns boxes or text has no class scores anyway"
        )
    else:
        way_out = (
            "usual reasons: another image shape than the network takes, or Python code that decides on the values "
            "of tensors; use tensor operations such as torch.where there"
        )
    return f"{name} cannot be captured for images of shape {image_shape}: {first_line(error)} ({way_out})"
