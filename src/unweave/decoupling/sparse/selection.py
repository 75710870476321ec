"""Values that hold only some of their channels, and what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

MULTIPLE = 16
"""Channel counts are rounded up to a multiple of this. So shapes repeat from input to input and the backend's kernels
are built once; on processors with 512-bit vectors the filters added cost nothing, 16 are computed at a time."""


@dataclass(frozen=True)
class Selection:
    """Which of `channels` channels a compact value holds: `index` `[held]`, of which `count` are meant and the
    others round up. Those added are exactly zero, and have the index `channels`."""

    index: Tensor
    channels: int
    count: int

    places: Tensor = field(init=False)
    """As `index`, with a channel that exists in place of the added ones."""

    def __post_init__(self) -> None:
        # An added channel is zero: any column of a weight, any place in a sum will do for it.
        object.__setattr__(self, "places", self.index.clamp(max=self.channels - 1))


def select(union: Tensor) -> Selection | None:
    """The channels where `union` `[channels]` is true; None where all are."""
    count, channels = int(union.sum()), len(union)
    if count == channels:
        return None
    rounded = min(max(-(-count // MULTIPLE), 1) * MULTIPLE, channels)
    index = torch.nonzero_static(union, size=rounded, fill_value=channels).view(-1)
    return Selection(index, channels, count)


def widened(values: Tensor, selection: Selection | None) -> Tensor:
    """All channels of a compact value, those not held zero."""
    if selection is None:
        return values
    batch, _, tall, wide = values.shape
    order = torch.channels_last if _is_channels_last(values) else torch.contiguous_format
    zeros = torch.zeros((batch, selection.channels, tall, wide), dtype=values.dtype, device=values.device).contiguous(
        memory_format=order
    )
    return _add_into(zeros, values, selection)


def add(
    left: Tensor,
    left_held: Selection | None,
    right: Tensor,
    right_held: Selection | None,
    spent: Sequence[bool] = (False, False),
) -> Tensor:
    """The sum of two values of the same full shape, each compact or not. A value that is `spent` (no one reads it
    again, and its memory is no one else's) may be changed."""
    if left_held is not None and right_held is not None:
        left, left_held, spent = widened(left, left_held), None, (True, False)
    if left_held is not None:
        left, left_held, right, right_held, spent = right, right_held, left, left_held, spent[::-1]
    if right_held is None:
        return left + right
    return _add_into(left if spent[0] else left.clone(), right, right_held)


def _add_into(full: Tensor, values: Tensor, selection: Selection) -> Tensor:
    """`full` plus the compact `values`, in place. Rows of channels where both are in channels-last order."""
    if not _is_channels_last(full):
        return full.index_add_(1, selection.places, values)
    rows = full.permute(0, 2, 3, 1).view(-1, full.shape[1])
    rows.index_add_(1, selection.places, values.permute(0, 2, 3, 1).reshape(-1, values.shape[1]))
    return full


def _is_channels_last(values: Tensor) -> bool:
    return values.is_contiguous(memory_format=torch.channels_last)


def concatenate(
    values: Sequence[Tensor], held: Sequence[Selection | None], channels: Sequence[int]
) -> tuple[Tensor, Selection | None]:
    """Values with `channels[i]` channels side by side, each compact or not."""
    joined = torch.cat(list(values), 1)
    if all(selection is None for selection in held):
        return joined, None
    total, start, count, parts = sum(channels), 0, 0, []
    for selection, width in zip(held, channels, strict=True):
        if selection is None:
            part = torch.arange(start, start + width, device=joined.device)
        else:
            part = torch.where(selection.index < width, selection.index + start, total)
        parts.append(part)
        count += width if selection is None else selection.count
        start += width
    return joined, Selection(torch.cat(parts), total, count)


def mean_of_positions(values: Tensor, selection: Selection | None) -> Tensor:
    """`[batch, channels]`: the mean of every channel, zero for those not held."""
    means = values.mean((2, 3))
    if selection is None:
        return means
    return means.new_zeros(len(means), selection.channels).index_add_(1, selection.places, means)
