"""Class terms that several objectives share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def margin(scores: Tensor, labels: Tensor) -> Tensor:
    """`m = z_c - logsumexp_{k != c} z_k`, per image. `softplus(-m) = -log p_c` and `softplus(m) = -log(1 - p_c)`."""
    own = scores.gather(1, labels[:, None])
    others = scores.scatter(1, labels[:, None], float("-inf"))
    return own[:, 0] - others.logsumexp(1)


def binary_cross_entropy(scores: Tensor, labels: Tensor, *, every_class: bool = False) -> Tensor:
    """ICCV Eq. 12 for images of the row's class: `-log p_c`, per image `[batch]`.

    The equation's other half, `-(1 - y) log(1 - p_c)`, is zero for images of the class, and NAD shows no others.
    `every_class=True` is the reading of the equation as a sum over the one-hot vector's entries: it adds
    `-sum_{k != c} log(1 - p_k)`.
    """
    own = functional.softplus(-margin(scores, labels))
    return own + _others_rejected(scores, labels) if every_class else own


def _others_rejected(scores: Tensor, labels: Tensor) -> Tensor:
    """`-sum_{k != c} log(1 - p_k)`. Only the largest `p` can be near 1, where `1 - p` must not be computed."""
    top = scores.argmax(1)
    rest = torch.log1p(-scores.softmax(1).scatter(1, top[:, None], 0.0))
    rest = rest.scatter(1, top[:, None], -functional.softplus(margin(scores, top))[:, None])
    return -rest.scatter(1, labels[:, None], 0.0).sum(1)
