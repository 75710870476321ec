"""What work will take, estimated before it begins, and how that is said."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self


class Estimate(ABC):
    """What a dataclass of counts, expected `seconds` and bytes can say of itself; `words` says the counts."""

    seconds: float

    @classmethod
    def nothing(cls) -> Self:
        """Of work that is done."""
        return cls(**{field.name: 0 for field in fields(cls)})  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @abstractmethod
    def words(self) -> str:
        """Counts, time and bytes, for a person."""

    def __str__(self) -> str:
        return "nothing is left to do" if self == self.nothing() else self.words()


def fastest(timed: Sequence[float]) -> float:
    """Of steps timed one after another, the first of which warms up: other processes only ever make one slower."""
    return min(timed[1:] or timed)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes in the unit that makes the number short."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
