"""The weights of a convolution, stored so that those of some filters on some channels are gathered in long pieces."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unweave.decoupling.sparse.plan import Algorithm
from unweave.decoupling.sparse.selection import MOST_ADDED, Selection

_PIECES_AT_ONCE = 1 << 14

_memory = threading.local()
"""Where gathered weights are written, one place a thread for all layers in turn: memory that was just written is still
in the cache, new memory is fetched first."""


class GatheredWeights(nn.Module):
    """`weight` `[filters, channels, tall, wide]` in three memory orders. Gathering costs per piece: of what is stored
    as [filters, tall, wide, channels] a filter is one piece; of [tall, wide, channels, filters] a channel is
    `tall x wide` of them; of [filters, channels, tall, wide] what one filter has on one channel. Filters of zeros stand
    at the end: counts are rounded up with them.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.filters, self.channels, self.tall, self.wide = weight.shape
        self.area = self.tall * self.wide
        kernels = functional.pad(weight.detach(), (0, 0, 0, 0, 0, 0, 0, MOST_ADDED)).contiguous()
        self.register_buffer("kernels", kernels)
        self.register_buffer("by_filter", kernels.permute(0, 2, 3, 1).contiguous())
        self.register_buffer("by_channel", weight.detach().permute(2, 3, 1, 0).reshape(-1, self.filters).contiguous())
        self.register_buffer("every", torch.arange(self.filters, device=weight.device))
        self.register_buffer("starts", self.channels * torch.arange(self.area, device=weight.device)[:, None])
        self.kernels: Tensor
        self.by_filter: Tensor
        self.by_channel: Tensor
        self.every: Tensor
        self.starts: Tensor

    def gathered(self, rows: Selection | None, columns: Selection | None, algorithm: Algorithm) -> Tensor:
        """`[rows, columns, tall, wide]`, in the memory order that the backend's convolution needs; None: all."""
        if algorithm == "contiguous":
            if columns is not None:
                return self._pieces(rows, columns)
            return self.kernels[: self.filters] if rows is None else _rows_of(self.kernels, rows.index)
        if columns is not None and self.area > 1:
            # Pieces of one element are slow to gather: these are longer, and put into order afterwards.
            return self._pieces(rows, columns).contiguous(memory_format=torch.channels_last)
        found = self._of_filters(rows)
        if columns is not None:
            found = _columns_of(found.view(len(found), -1), columns).view(len(found), 1, 1, -1)
        return found.permute(0, 3, 1, 2)

    def matrix(self, rows: Selection | None, columns: Selection | None) -> Tensor:
        """`[window, rows]`, as `windows` orders a window: by position and channel; by channel and position where rows
        and columns are both given."""
        if columns is None:
            found = self._of_filters(rows)
            return found.view(len(found), -1).t()
        if rows is None:
            return _rows_of(self.by_channel, (self.starts + columns.places).view(-1))
        if self.area == 1:
            return _columns_of(self._of_filters(rows).view(len(rows.index), -1), columns).t()
        return self._pieces(rows, columns).view(len(rows.index), -1).t()

    def _of_filters(self, rows: Selection | None) -> Tensor:
        return self.by_filter[: self.filters] if rows is None else _rows_of(self.by_filter, rows.index)

    def _pieces(self, rows: Selection | None, columns: Selection) -> Tensor:
        """What some filters have on some channels. One look-up moves what is needed, once; two selections would move
        whole filters first. A few filters at a time: so the positions looked up stay in the cache."""
        index = self.every if rows is None else rows.index
        width = len(columns.places)
        found = _written_next(self.kernels, (len(index), width, self.tall, self.wide))
        flat, pieces = found.view(-1, self.area), self.kernels.view(-1, self.area)
        starts = (index * self.channels)[:, None]
        parts = -(-len(index) * width // _PIECES_AT_ONCE)
        for some in starts.chunk(parts) if parts > 1 else (starts,):
            places = (some + columns.places).view(-1)
            torch.index_select(pieces, 0, places, out=flat[: len(places)])
            flat = flat[len(places) :]
        return found


def _rows_of(stored: Tensor, index: Tensor) -> Tensor:
    """Valid until the thread gathers again."""
    found = _written_next(stored, (len(index), *stored.shape[1:]))
    return torch.index_select(stored, 0, index, out=found)


def _written_next(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Memory for a tensor of `shape`, that of the last one where it is large enough. Not on a GPU, where what was
    given back is used again anyway, and where the last reader may still be at work."""
    if like.device.type != "cpu":
        return like.new_empty(shape)
    size = math.prod(shape)
    held: dict[Any, Tensor] = _memory.__dict__
    if like.dtype not in held or len(held[like.dtype]) < size:
        with torch.inference_mode(False):
            held[like.dtype] = torch.empty(size, dtype=like.dtype)
    return held[like.dtype][:size].view(shape)


def _columns_of(matrix: Tensor, columns: Selection) -> Tensor:
    """Some columns of a matrix; `gather` takes a fifth of the time of `index_select` here."""
    return matrix.gather(1, columns.places.expand(len(matrix), -1))
