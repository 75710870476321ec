"""What is known of a value's channels before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Channels:
    """The channels of one value, along `dim`.

    `known` `Bool[channels]`: those that are one number everywhere and for every image; `value` `Float64[channels]` is
    that number (0 for the others). Where `dim` is None the value is followed as a whole, as one channel.
    """

    dim: int | None
    known: Tensor
    value: Tensor

    @classmethod
    def unknown(cls, dim: int | None, count: int) -> Channels:
        """`count` channels of which nothing is known."""
        return cls(dim, torch.zeros(count, dtype=torch.bool), torch.zeros(count, dtype=torch.float64))

    @classmethod
    def whole(cls) -> Channels:
        """A value whose channels are not told apart."""
        return cls.unknown(None, 1)

    @property
    def count(self) -> int:
        """Number of channels."""
        return len(self.known)

    def at(self, dim: int | None) -> Channels:
        """The same channels in another dimension."""
        return Channels(dim, self.known, self.value)

    def only(self, known: Tensor) -> Channels:
        """The same, with nothing known of channels outside of `known`."""
        kept = self.known & known
        return Channels(self.dim, kept, torch.where(kept, self.value, 0))

    def picked(self, order: Tensor) -> Channels:
        """The channels at `order`, in that order."""
        return Channels(self.dim, self.known[order], self.value[order])


def positions(mask: Tensor) -> tuple[int, ...]:
    """Where a `Bool[channels]` is true."""
    return tuple(mask.nonzero().flatten().tolist())
