"""Slices of weights. An order of channels may hold `FILLER` where a channel is to be there that means nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FILLER = -1
"""In an order of channels: one that no channel of the whole network stands behind."""


def sliced(tensor: Tensor, dim: int, order: Sequence[int], fill: float = 0.0) -> Tensor:
    """An own copy of `tensor` with the channels of `dim` in `order`; those of fillers are `fill`."""
    if list(order) == list(range(tensor.shape[dim])):
        return tensor.detach().clone(memory_format=torch.contiguous_format)
    index = torch.tensor(list(order), dtype=torch.long, device=tensor.device)
    picked = tensor.detach().index_select(dim, index.clamp(min=0))
    empty = (index == FILLER).nonzero().flatten()
    return picked.index_fill_(dim, empty, fill) if len(empty) else picked


def rounded_up(order: Sequence[int], multiple: int, most: int) -> tuple[int, ...]:
    """`order` with fillers at its end: its length is then a multiple of `multiple`, or `most`."""
    length = min(-(-len(order) // multiple) * multiple, most)
    return (*order, *[FILLER] * (length - len(order)))
