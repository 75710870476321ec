"""Improved semantic hashing: binary codes that can be learned by gradients (ECCV section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor


def saturating_sigmoid(values: Tensor) -> Tensor:
    """`clamp(1.2 sigmoid(t) - 0.1, 0, 1)` (ECCV Eq. 4): reaches 0 and 1, and has no gradient for |t| > ln 11 = 2.4."""
    return (1.2 * torch.sigmoid(values) - 0.1).clamp(0, 1)


def hashed(values: Tensor, noise: Tensor | None, binary: Tensor | None) -> Tensor:
    """Gates `z` from the controlling module's output `g`, both `[batch, filters]`.

    In training (ECCV Eq. 3), with `t = g + noise`: `v1 = saturating_sigmoid(t)`, `v2 = 1(t > 0)`, and `z = v2` for the
    samples where `binary` `[batch]` is 1, `z = v1` for the others; the gradient is that of `v1` for all. In evaluation
    (Eq. 5; `noise` and `binary` None): `z = 1(g > 0)`.
    """
    if noise is None or binary is None:
        return (values > 0).to(values.dtype)
    noisy = values + noise
    soft = saturating_sigmoid(noisy)
    hard = (noisy > 0).to(values.dtype)
    return soft + binary[:, None] * (hard - soft).detach()
