"""Settings that must be whole numbers: counts, seeds, indices."""

from __future__ import annotations

import numbers

from unweave.errors import SettingError


def whole_number(name: str, value: object, least: int, most: int | None = None) -> int:
    """`value` of the setting `name` as an int. Whole numbers of any type are taken (numpy's too), truth values are not.

    Raises
    ------
    SettingError
        If it is not a whole number, below `least`, or above `most`.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        up_to = "" if most is None else f" to {most}"
        raise SettingError(f"{name} must be a whole number from {least}{up_to}, found {value!r}")
    return int(value)  # type: ignore[call-overload, no-any-return]
