"""What a search is asked for, as keyword arguments of `disentangle`."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unweave.errors import SettingError
from unweave.paths import Paths
from unweave.search.elbow import BETAS
from unweave.search.objectives import Objective, kind_named, objective_named
from unweave.search.start import Start
from unweave.search.targets import Against, Group
from unweave.whole_numbers import whole_number

DEFAULT_OBJECTIVE = "selective"
_RATE = 0.1
_ELBOW_LIMIT = 200


@dataclass(frozen=True)
class Settings:
    """Everything besides network, data and sites. See `disentangle` for what each means.

    Raises
    ------
    SettingError
        If objective, beta and reconstruction contradict each other, or `elbow_limit_per_class` is not a whole number
        from 1.
    """

    objective: str | Objective = DEFAULT_OBJECTIVE
    beta: float | Literal["elbow"] | None = None
    reconstruction: bool = True
    classes: Sequence[int] | None = None
    groups: Mapping[str, Group] | None = None
    against: Against | None = None
    limit_per_class: int | None = None
    rate: float = _RATE
    passes: int = 20
    batch: int = 16
    augment: str = "none"
    seed: int = 0
    precision: str = "float32"
    rows_per_batch: int | None = None
    classes_per_shard: int | None = None
    keep_activations: bool | None = None
    threads: int | None = None
    betas: Sequence[float] = BETAS
    elbow_limit_per_class: int = _ELBOW_LIMIT
    start: Paths | Literal["random", "attribution"] | None = None
    keep: float | None = None

    def __post_init__(self) -> None:
        whole_number("elbow_limit_per_class", self.elbow_limit_per_class, 1)
        if self.keep is not None:
            self._size_is_told()
            return
        if self.start is None:
            object.__setattr__(self, "start", self.kind.default_start)
        if not isinstance(self.start, Paths) and self.start not in ("random", "attribution"):
            raise SettingError(f"a search starts from 'random', 'attribution' or Paths, found {self.start!r}")
        own = self.kind.default_beta
        given = self.beta
        if given is None:
            object.__setattr__(self, "beta", "elbow" if own is None or isinstance(self.objective, Objective) else own)
        if isinstance(self.objective, Objective):
            if given not in (None, "elbow") or not self.reconstruction:
                raise SettingError("an Objective brings its own beta and reconstruction; give them there")
        elif self.beta == "elbow":
            objective_named(self.objective, 1.0)
            if not self.kind.reads_activations:
                raise SettingError(
                    f"the elbow weighs reconstruction at the sites, which {self.objective} has none of; give beta a "
                    f"number (default {own:g})"
                )
            if not self.reconstruction:
                raise SettingError(
                    "the elbow weighs reconstruction against size: give beta a number with reconstruction=False"
                )
            if len(set(self.betas)) < 3:
                raise SettingError(f"an elbow needs at least three betas, found {len(set(self.betas))}")
        else:
            self.objective_with(self.beta)

    def _size_is_told(self) -> None:
        """With `keep`, nothing else says how large rows become, and nothing is learned by steps."""
        if isinstance(self.objective, Objective) or not self.kind.tells_size:
            named = self.objective.name if isinstance(self.objective, Objective) else self.objective
            raise SettingError(f"keep= needs the objective 'selective' by name, found {named!r}; leave keep out")
        given = {
            "beta": self.beta is not None,
            "start": self.start is not None,
            "rate": self.rate != _RATE,
            "reconstruction": not self.reconstruction,
            "betas": tuple(self.betas) != BETAS,
            "elbow_limit_per_class": self.elbow_limit_per_class != _ELBOW_LIMIT,
        }
        if unused := [name for name, is_given in given.items() if is_given]:
            raise SettingError(
                f"with keep=, channels are closed one after the other, all being open at first: {unused[0]} has no "
                "part in it; leave it out, or leave keep out"
            )
        object.__setattr__(self, "beta", 0.0)
        object.__setattr__(self, "reconstruction", False)

    @property
    def given_start(self) -> Start | None:
        """The scores to start from, where paths are given."""
        return Start.of(self.start) if isinstance(self.start, Paths) else None

    @property
    def kind(self) -> type[Objective]:
        """The objective's class."""
        return type(self.objective) if isinstance(self.objective, Objective) else kind_named(self.objective)

    @property
    def wants_elbow(self) -> bool:
        """Whether beta is to be found by a sweep."""
        return isinstance(self.objective, str) and self.beta == "elbow"

    def objective_with(self, beta: Any) -> Objective:
        """The objective, with `beta` where it does not bring its own."""
        if isinstance(self.objective, Objective):
            return self.objective
        if isinstance(beta, bool) or not isinstance(beta, numbers.Real):
            raise SettingError(f"beta must be a number or 'elbow', found {beta!r}")
        return objective_named(self.objective, float(beta), reconstruction=self.reconstruction)

    def record(self) -> dict[str, Any]:
        """What was asked for, as plain values, to be compared when a run is gone on with. Settings that change speed or
        memory alone are not in it: a run keeps the plan that it began with."""
        chosen = self.objective
        if isinstance(chosen, Objective):
            own = {"objective": chosen.settings(), "beta": chosen.beta}
        else:
            own = {"objective": chosen, "beta": _plain(self.beta)}
        left_out = (*_FREE, *own, "start")
        plain = {name: _plain(value) for name, value in vars(self).items() if name not in left_out} | own
        if (start := self.given_start) is not None:
            plain["start"] = start.fingerprint()
        elif self.start not in ("random", None):
            plain["start"] = self.start
        if self.keep is None:
            del plain["keep"]
        if not self.wants_elbow:
            del plain["betas"], plain["elbow_limit_per_class"]
        return plain


_FREE = ("rows_per_batch", "classes_per_shard", "keep_activations", "threads")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return [_plain(item) for item in value]
