"""The objectives by name."""

from __future__ import annotations

from unweave.errors import SettingError
from unweave.search.objectives.base import Objective as Objective
from unweave.search.objectives.concept_path import ConceptPath
from unweave.search.objectives.literal import Literal
from unweave.search.objectives.released import Released
from unweave.search.objectives.variational import Variational
from unweave.search.objectives.variational_noise import VariationalNoise

OBJECTIVES: dict[str, type[Objective]] = {
    kind.name: kind for kind in (Released, Variational, VariationalNoise, Literal, ConceptPath)
}


def objective_named(name: str, beta: float, *, reconstruction: bool = True) -> Objective:
    """The objective called `name`.

    Raises
    ------
    SettingError
        If there is none of that name.
    """
    if name not in OBJECTIVES:
        raise SettingError(f"no objective {name!r}; there are {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name](beta=beta, reconstruction=reconstruction)
