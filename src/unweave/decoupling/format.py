"""The file of a decoupled network: its weights, layers and share of filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from unweave.decoupling.network import DecoupledNetwork, decouple
from unweave.decoupling.tensor_file import read_tensors, write_tensors
from unweave.errors import MismatchError, RunError
from unweave.files import canonical_json, digest

_KIND = "decoupled network"
_SAVED = "as saved"


def save_decoupled(net: DecoupledNetwork, file: str | Path) -> Path:
    """Write `net`; equal networks give equal bytes."""
    state = {name: value for name, value in net.state_dict().items() if isinstance(value, Tensor)}
    return write_tensors(file, _KIND, {"keep": net.keep, "logits": net.logits, "made_of": _made_of(net)}, state)


def load_decoupled(
    network: nn.Module, file: str | Path, example: Tensor, *, keep: float | str | None = _SAVED
) -> DecoupledNetwork:
    """The decoupled network that `DecoupledNetwork.save` or `fit` wrote to `file`, in evaluation mode.

    Parameters
    ----------
    network
        What was decoupled, or a network of the same architecture: all weights come from the file. Not changed.
    file
        `best.safetensors`, `last.safetensors` or what `DecoupledNetwork.save` wrote. No code in it is run.
    example
        Images `[batch, channels, height, width]` as the network takes them.
    keep
        The share of filters that the file is expected to be of; by default whatever it is.

    Raises
    ------
    RunError
        If the file is missing, damaged, or something else.
    MismatchError
        If it was written for a network of other layers, or for another `keep`.
    CaptureError
        If `network` cannot be decoupled.
    """
    header, state = read_tensors(file, _KIND)
    try:
        recorded, saved, logits = header["keep"], header["made_of"], header["logits"]
    except KeyError as error:
        raise RunError(f"{file} is damaged (no {error}); remove it, and make it again") from error
    if not isinstance(recorded, float | int | None) or not isinstance(logits, str | int | None):
        raise RunError(f"{file} is damaged (keep or logits); remove it, and make it again")
    if keep not in (_SAVED, recorded):
        raise MismatchError(f"{file} holds a network of keep = {_said(recorded)}, {_said(keep)} was asked for")
    net = decouple(network, example, recorded, logits=logits)
    _check_made_of(_made_of(net), saved, file)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise RunError(f"{file} is damaged (not the tensors that it lists); remove it, and make it again") from error
    return net


def _made_of(net: DecoupledNetwork) -> dict[str, Any]:
    """What tells decoupled networks of different architectures apart: every convolution and what became of it, every
    tensor's shape and type."""
    layers = {layer.convolution: [layer.norm, layer.left_out] for layer in net.layers}
    tensors = {
        name: f"{'x'.join(map(str, value.shape)) or 'scalar'} {str(value.dtype).removeprefix('torch.')}"
        for name, value in net.state_dict().items()
        if isinstance(value, Tensor)
    }
    return {"layers": layers, "tensors": tensors, "digest": digest(canonical_json([layers, tensors]))}


def _check_made_of(ours: dict[str, Any], theirs: Any, file: str | Path) -> None:
    if not isinstance(theirs, dict) or not all(isinstance(theirs.get(part), dict) for part in ("layers", "tensors")):
        raise RunError(f"{file} is damaged (no layers); remove it, and make it again")
    if ours["digest"] == theirs.get("digest"):
        return
    for part in ("layers", "tensors"):
        here, there = ours[part], theirs[part]
        for name in [*here, *there]:
            if here.get(name) != there.get(name):
                raise MismatchError(
                    f"{file} is of another network: first difference at {name!r}, "
                    f"{_said(there.get(name))} there, {_said(here.get(name))} here; give the network that was decoupled"
                )
    raise MismatchError(f"{file} is of another network: its convolutions run in another order")


def _said(value: object) -> str:
    if isinstance(value, list) and len(value) == 2:
        return str(value[1] or f"controlled, with norm {'none' if value[0] is None else value[0]}")
    return "none" if value is None else str(value)
