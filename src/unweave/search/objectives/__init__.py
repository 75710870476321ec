"""The objectives by name."""

from __future__ import annotations

from dataclasses import fields

from unweave.errors import SettingError
from unweave.search.objectives.base import Objective as Objective
from unweave.search.objectives.concept_path import ConceptPath
from unweave.search.objectives.literal import Literal
from unweave.search.objectives.released import Released
from unweave.search.objectives.selective import Selective
from unweave.search.objectives.variational import Variational
from unweave.search.objectives.variational_noise import VariationalNoise

OBJECTIVES: dict[str, type[Objective]] = {
    kind.name: kind for kind in (Released, Variational, VariationalNoise, Literal, ConceptPath, Selective)
}


def kind_named(name: str) -> type[Objective]:
    """The class of the objective called `name`, or of that which it is a variant of.

    Raises
    ------
    SettingError
        If there is none of that name.
    """
    plain = name.partition(":")[0]
    if plain not in OBJECTIVES:
        raise SettingError(f"no objective {name!r}; there are {', '.join(OBJECTIVES)}")
    return OBJECTIVES[plain]


_VARIANTS: dict[str, str] = {"printed": "printed", "every-class": "every_class"}


def objective_named(name: str, beta: float, *, reconstruction: bool = True) -> Objective:
    """The objective called `name`, or a variant of it: `variational-noise:printed` is ICCV Eq. 9 as printed,
    `variational:every-class` (also of `literal` and `variational-noise`) reads Eq. 12 as a sum over all classes.

    Raises
    ------
    SettingError
        If there is none of that name.
    """
    plain, _, variant = name.partition(":")
    kind = kind_named(name)
    known = {word: option for word, option in _VARIANTS.items() if option in {f.name for f in fields(kind)}}
    if variant and variant not in known:
        raise SettingError(f"no variant {variant!r} of {plain}; there are {', '.join(known) or 'none'}")
    return kind(beta=beta, reconstruction=reconstruction, **({known[variant]: True} if variant else {}))
