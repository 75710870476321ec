"""Values that hold only some of their channels, and what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

_FEW_CHANNELS = 64
MOST_ADDED = 15
"""Rounding adds no more channels than this."""


def rounded(count: int, channels: int) -> int:
    """A count of channels, rounded up: at least one, to a multiple of 4, or of 16 where there are few channels.

    So shapes repeat from input to input: the backend builds a kernel (in one to two milliseconds) for every shape that
    it has not met, and keeps 1024 of them. With vectors of 16, 40 filters of 64 take longer than 48 do; of 128 or more
    the rest that fills no vector matters less than what rounding adds to the next convolution's input.
    """
    multiple = 16 if channels <= _FEW_CHANNELS else 4
    return min(max(-(-count // multiple), 1) * multiple, channels)


@dataclass(frozen=True)
class Selection:
    """Which of `channels` channels a compact value holds: `index` `[held]`, of which `count` are meant and the
    others round up. Those added are exactly zero, and have an index from `channels` on."""

    index: Tensor
    channels: int
    count: int

    places: Tensor = field(init=False)
    """As `index`, with a channel that exists in place of the added ones."""

    def __post_init__(self) -> None:
        # An added channel is zero: any column of a weight, any place in a sum will do for it.
        exact = len(self.index) == self.count
        object.__setattr__(self, "places", self.index if exact else self.index.clamp(max=self.channels - 1))


def select(union: Tensor) -> Selection | None:
    """The channels where `union` `[channels]` is true; None where all are."""
    return select_extended(functional.pad(union, (0, MOST_ADDED), value=True))


def select_extended(union: Tensor) -> Selection | None:
    """As `select`, of `[channels + MOST_ADDED]` which ends in as many that are true: what rounding adds is among what
    is found, and need not be made."""
    found, channels = union.nonzero().view(-1), len(union) - MOST_ADDED
    count = len(found) - MOST_ADDED
    if count == channels:
        return None
    return Selection(found[: rounded(count, channels)], channels, count)


def widened(values: Tensor, selection: Selection | None) -> Tensor:
    """All channels of a compact value, those not held zero."""
    if selection is None:
        return values
    return _add_into(_zeros(values, selection.channels), values, selection)


def _zeros(like: Tensor, channels: int) -> Tensor:
    """`[batch, channels, tall, wide]`, with all else from `like`."""
    batch, _, tall, wide = like.shape
    order = torch.channels_last if _is_channels_last(like) else torch.contiguous_format
    empty = torch.empty(batch, channels, tall, wide, dtype=like.dtype, device=like.device, memory_format=order)
    return empty.zero_()


def add(
    left: Tensor,
    left_held: Selection | None,
    right: Tensor,
    right_held: Selection | None,
    spent: Sequence[bool] = (False, False),
) -> tuple[Tensor, Selection | None]:
    """The sum of two values of the same full shape, each compact or not: compact, on the channels that either holds,
    where both are. A value that is `spent` (no one reads it again, and its memory is no one else's) may be changed."""
    if left_held is not None and right_held is not None:
        return _joined(left, left_held, right, right_held)
    if left_held is not None:
        left, left_held, right, right_held, spent = right, right_held, left, left_held, spent[::-1]
    if right_held is not None:
        return _add_into(left if spent[0] else left.clone(), right, right_held), None
    if spent[1] and not spent[0]:
        left, right, spent = right, left, spent[::-1]
    return (left.add_(right) if spent[0] else left + right), None


def _joined(
    left: Tensor, left_held: Selection, right: Tensor, right_held: Selection
) -> tuple[Tensor, Selection | None]:
    channels = left_held.channels
    held = torch.zeros(channels + MOST_ADDED, dtype=torch.bool, device=left.device)
    held[left_held.index] = True
    held[right_held.index] = True
    union = select(held[:channels])
    if union is None:
        return _add_into(widened(left, left_held), right, right_held), None
    position = held[:channels].cumsum(0) - 1  # of a channel among those of the union
    width = len(union.index)
    total = _zeros(right if _is_channels_last(right) else left, width)
    for values, own in ((left, left_held), (right, right_held)):
        _add_into(total, values, Selection(position[own.places].clamp_min(0), width, own.count))
    return total, union


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


def padded(
    values: Tensor, held: Selection | None, before: int, channels: int, positions: Sequence[int]
) -> tuple[Tensor, Selection]:
    """Zeros around a value, as `torch.nn.functional.pad` adds them at `positions`: `before` of now `channels` channels
    come first. The channels added are not held."""
    if any(positions):
        values = functional.pad(values, list(positions))
    if held is None:
        width = values.shape[1]
        return values, Selection(torch.arange(before, before + width, device=values.device), channels, width)
    index = torch.where(held.index < held.channels, held.index + before, channels)
    return values, Selection(index, channels, held.count)
