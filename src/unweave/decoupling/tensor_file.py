"""Named tensors with a header in one safetensors file: written whole or not at all, read without running code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unweave.errors import RunError
from unweave.files import canonical_json, digest, replacing

SCHEMA_VERSION = 1
_KEY = "unweave"


def write_tensors(file: str | Path, kind: str, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Write `header` (plain values) and `tensors` as a file of this `kind`; equal contents give equal bytes.

    Raises
    ------
    RunError
        If it cannot be written; what was there stays.
    """
    # Copies, because safetensors refuses tensors that share memory (tied weights do).
    held = {name: one.detach().cpu().clone(memory_format=torch.contiguous_format) for name, one in tensors.items()}
    whole = {**header, "kind": kind, "schema_version": SCHEMA_VERSION}
    text = canonical_json({**whole, "digest": _digest(whole, held)})
    try:
        with replacing(file) as draft:
            save_file(held, draft, metadata={_KEY: text})
    except (SafetensorError, OSError) as error:
        raise RunError(
            f"{file} cannot be written ({error}); what was saved before is kept: make room, then repeat the call to "
            "go on from there"
        ) from error
    return Path(file)


def read_tensors(file: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a file that `write_tensors` wrote with this `kind`.

    Raises
    ------
    RunError
        If it is missing, damaged, or something else.
    """
    if not os.path.isfile(file):  # pathlib's own raises where a link's target has too long a name
        raise RunError(f"no file {file}")
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            names = list(opened.keys()) if _KEY in metadata else []  # a foreign file may be large
            tensors = {name: opened.get_tensor(name) for name in names}
        header = json.loads(metadata[_KEY]) if _KEY in metadata else {}
        if header.get("kind") != kind:
            raise RunError(f"{file} holds no {kind}")
        if header["schema_version"] != SCHEMA_VERSION:
            raise RunError(f"{file} is not of this version of unweave")
        if header.pop("digest") != _digest(header, tensors):
            raise ValueError("its content is not what was written")
    except RunError:
        raise
    except (
        SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, RuntimeError
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise RunError(f"{file} is damaged ({reason}); remove it, and make it again") from error
    return header, tensors


def _digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    described = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    flat = (tensors[name].reshape(-1).view(torch.uint8).numpy() for name in sorted(tensors))
    contents = (one.data if len(one) else b"" for one in flat)  # the memory of nothing has no bytes
    return digest(canonical_json(dict(header)), canonical_json(described), *contents)
