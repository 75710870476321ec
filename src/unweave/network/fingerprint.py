"""What identifies a network: its tensors by name, with shape and digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unweave.errors import MismatchError
from unweave.files import canonical_json, digest
from unweave.network.refusals import check_numbers
from unweave.network.shared_copy import unwrapped


def fingerprint(network: nn.Module) -> dict[str, Any]:
    """`{"name", "digest", "tensors": {name: "shape dtype digest"}}` of a network's state, the same on every device.

    Buffers that count batches during training (`num_batches_tracked`) are left out: they never change a result.
    """
    network = unwrapped(network)
    check_numbers(network)
    tensors = {
        name: _describe(tensor)
        for name, tensor in network.state_dict().items()
        if isinstance(tensor, Tensor) and not name.endswith("num_batches_tracked")
    }
    return {"name": type(network).__name__, "digest": digest(canonical_json(tensors)), "tensors": tensors}


def _describe(tensor: Tensor) -> str:
    plain = tensor.detach().cpu().contiguous()
    raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    shape = "x".join(str(size) for size in plain.shape) or "scalar"
    return f"{shape} {str(plain.dtype).removeprefix('torch.')} {digest(raw)}"


def check_fingerprint(
    found: Mapping[str, Any], expected: Mapping[str, Any], what: str = "the paths were found in"
) -> None:
    """Refuse a network that is not the one recorded in `expected`.

    Raises
    ------
    MismatchError
        Naming the first tensor that differs, and how.
    """
    if found["digest"] == expected.get("digest"):
        return
    ours, theirs = found["tensors"], expected.get("tensors", {})
    for name in [*ours, *theirs]:  # in the order of the network; a saved fingerprint is sorted by name
        if ours.get(name) == theirs.get(name):
            continue
        raise MismatchError(
            f"this is another network than {what} ({expected.get('name')}): first difference at "
            f"{name!r}, recorded {_readable(theirs.get(name))}, here {_readable(ours.get(name))}"
        )
    raise MismatchError(f"this is another network than {what} ({expected.get('name')})")


def _readable(described: str | None) -> str:
    if described is None:
        return "no such tensor"
    shape, dtype, content = described.split(" ")
    return f"{shape.replace('x', ' x ')} {dtype} with content {content}"
