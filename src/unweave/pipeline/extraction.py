"""From rows and classes as typed to one row of paths and class indices, for extraction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from unweave.errors import DataError, SettingError
from unweave.paths import Paths
from unweave.pipeline.inputs import Inputs

_EXAMPLES = 8


def row_of(paths: Paths, names: Sequence[str]) -> Paths:
    """One row: the only one, the one that is named, or the union of those named.

    Raises
    ------
    SettingError
        If there are several rows and none is named.
    RowError
        If there is no such row.
    """
    if not names and len(paths) > 1:
        known = paths.rows.names
        first = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
        raise SettingError(f"which of the {len(known)} rows ({first})? give --row NAME, or several for their union")
    chosen = paths.select(list(dict.fromkeys(names))) if names else paths
    return chosen if len(chosen) == 1 else chosen.any()


def classes_of(text: str | None, paths: Paths) -> list[int] | None:
    """Names of rows that stand for one class, or indices, by comma; None for all classes.

    Raises
    ------
    SettingError
        If a name is none of the rows'.
    """
    if text is None:
        return None
    found = []
    for part in (part.strip() for part in text.split(",")):
        named = [index for name, index in zip(paths.rows.names, paths.rows.classes, strict=True) if name == part]
        if len(named) == 1 and named[0] >= 0:
            found.append(named[0])
        elif part.isascii() and part.isdigit():
            found.append(int(part))
        else:
            raise SettingError(f"--classes: {part!r} is neither the name of a class's row nor an index")
    return found


def examples_of(inputs: Inputs, data: str | None, network: nn.Module, *, strict: bool) -> Tensor:
    """A few images of `data`, or of the run's own, on which an extracted network is checked.

    Raises
    ------
    DataError
        If there are none.
    """
    spec = data or inputs.validation or inputs.train
    if spec is None:
        raise DataError("the run names no images to check the extracted network on; give --data")
    images = replace(inputs, strict=strict).images(spec, network, train=False)
    return images.images(images.intact(_EXAMPLES))
