"""How each convolution of a sparse network is computed: measured once, then fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from unweave.errors import SettingError
from unweave.tables import Table

Method = Literal["dense", "rows", "columns", "both", "groups"]
"""What a convolution computes.

dense   all filters on all channels, then the gates multiply
rows    the filters that at least one input of the batch selects, on all channels
columns all filters, on the channels that can be non-zero for at least one input of the batch; then the gates multiply
both    the filters of `rows` on the channels of `columns`
groups  as `both`, separately for every set of inputs that select the same filters
"""

Algorithm = Literal["channels_last", "contiguous", "product"]
"""By what a convolution is computed: the backend's convolution with input and weight in one of two memory orders, or
one matrix product."""

Batches = Literal["together", "each"]
"""Whether the inputs of a batch go through the network together, or one after the other."""


@dataclass(frozen=True)
class Choice:
    """How one convolution is computed."""

    method: Method
    algorithm: Algorithm = "channels_last"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("method", self.method, get_args(Method)),
            ("algorithm", self.algorithm, get_args(Algorithm)),
        ):
            if value not in known:
                raise SettingError(f"the {name} of a layer must be one of {', '.join(known)}, found {value!r}")

    def __str__(self) -> str:
        return f"{self.method}, {self.algorithm}"


@dataclass(frozen=True)
class Plan:
    """How each convolution is computed: `single[layer]` for one input at a time, `together[layer]` for a batch whose
    inputs go through the network together, `batches` whether batches do. `seconds[layer][choice]` is what was measured
    (empty for a plan that was given), as "single: both, contiguous"."""

    single: Mapping[str, Choice]
    together: Mapping[str, Choice]
    batches: Batches = "together"
    seconds: Mapping[str, Mapping[str, float]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.batches not in get_args(Batches):
            known = ", ".join(get_args(Batches))
            raise SettingError(f"batches must be one of {known}, found {self.batches!r}")

    @classmethod
    def same(cls, layers: Sequence[str], choice: Choice, batches: Batches = "together") -> Plan:
        """Every layer alike."""
        everywhere = dict.fromkeys(layers, choice)
        return cls(everywhere, everywhere, batches)

    def check(self, layers: Sequence[str]) -> None:
        """Refuse a plan for other layers.

        Raises
        ------
        SettingError
        """
        for kind, given in (("single", self.single), ("together", self.together)):
            wrong = sorted(set(layers) ^ set(given))
            if wrong:
                what = "leaves out" if wrong[0] in layers else "has the unknown layer"
                raise SettingError(
                    f"the plan ({kind}) {what} {wrong[0]!r}; plan one choice for each of: {list(layers)}"
                )

    @property
    def table(self) -> Table:
        """One line a layer: its choices, and the measured milliseconds of the choice for single inputs and of computing
        it dense (NaN where nothing was measured)."""
        layers = list(self.single)
        return Table(
            "How each convolution of the sparse network is computed",
            {
                "layer": tuple(layers),
                "single": tuple(str(self.single[layer]) for layer in layers),
                "together": tuple(str(self.together[layer]) for layer in layers),
                "single_ms": tuple(self._milliseconds(layer, self.single[layer]) for layer in layers),
                "dense_ms": tuple(self._milliseconds(layer, Choice("dense")) for layer in layers),
            },
            {
                "single": "for one input: what is computed, and by what",
                "together": "for a batch whose inputs go through the network together",
                "single_ms": "measured milliseconds a single input, gathering of weights included",
                "dense_ms": "the same layer with all filters on all channels",
            },
            {"batches": self.batches},
        )

    def _milliseconds(self, layer: str, choice: Choice) -> float:
        return 1000 * self.seconds.get(layer, {}).get(f"single: {choice}", float("nan"))

    def __str__(self) -> str:
        return repr(self.table)
