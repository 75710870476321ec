"""What an attribution will take, said before it begins."""

from __future__ import annotations

from dataclasses import dataclass

from unweave.estimates import Estimate, duration, size


@dataclass(frozen=True)
class AttributionCost(Estimate):
    """What an attribution will take: `seconds` expected; `disk`: bytes of the result and of what is kept to go on
    from."""

    images: int
    rows: int
    steps: int
    seconds: float
    disk: int

    def words(self) -> str:
        """Counts, time and bytes, for a person."""
        return (
            f"{self.images} images x {self.steps} steps, {self.rows} rows: about {duration(self.seconds)}, "
            f"{size(self.disk)} disk"
        )
