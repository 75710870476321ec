"""Refusing a copy that does not compute what it is a copy of, by one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unweave.decoupling.controlled import Record
from unweave.decoupling.sparse.network import SparseNetwork
from unweave.errors import CaptureError

_ON_AN_ACCELERATOR = 0.02
"""Its convolutions may round to ten bits, and the copy's are others."""


def check_scores(found: Tensor, wanted: Tensor, what: str) -> None:
    """Refuse class scores that differ by more than rounding.

    Raises
    ------
    CaptureError
        With `what`, a sentence on what the copy does not do.
    """
    scale = float(wanted[wanted.isfinite()].abs().max()) if wanted.isfinite().any() else 0.0
    if not torch.isclose(found, wanted, rtol=0, atol=_tolerance(wanted) * scale, equal_nan=True).all():
        most = float((found - wanted).abs().max())
        raise CaptureError(f"{what} (class scores differ by up to {most:.3g}, the largest is {scale:.3g})")


def check_sparse(sparse: SparseNetwork, images: Tensor, names: Sequence[str], record: Record, wanted: Tensor) -> None:
    """Refuse a sparse copy that selects other filters for `images`, or gives other class scores, than the decoupled
    network, which `record` and `wanted` are of. Gates that are made from zero to rounding may differ; what comes after
    them is not compared.

    Raises
    ------
    CaptureError
        Naming the layer.
    """
    with sparse.gates() as kept:
        scores = sparse(images)
    alike = torch.ones(len(images), dtype=torch.bool, device=scores.device)
    for name, controls, gates in zip(names, record.controls, record.gates, strict=True):
        differ = torch.cat(kept[name]) != (gates > 0)
        clear = controls.abs() > _tolerance(controls) * controls.abs().amax(1, keepdim=True)
        if bool((differ & clear).any(1)[alike].any()):
            raise CaptureError(
                f"the sparse copy selects other filters in layer {name!r} than the decoupled network; use that itself"
            )
        alike &= ~differ.any(1)
    if bool(alike.any()):
        what = "the sparse copy does not compute what the decoupled network does; use that itself"
        check_scores(scores[alike], wanted[alike], what)


def _tolerance(values: Tensor) -> float:
    """Of what is as large as one: half of its digits."""
    digits: float = float(torch.finfo(values.dtype).eps) ** 0.5
    return digits if values.device.type == "cpu" else max(digits, _ON_AN_ACCELERATOR)
