"""On which images a measure was taken, in words: a table over images that the search saw says so in its title."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unweave.data.labelled import LabelledImages
from unweave.paths import Paths


def origin(paths: Paths, data: LabelledImages, positions: np.ndarray) -> str:
    """`"1000 images"`, with a warning where the search saw them, or some of them."""
    count = seen(paths, data, positions)
    if count == 0:
        return f"{len(positions)} images"
    some = "" if count == len(positions) else f", {count} of them images"
    return f"{len(positions)} images{some} THAT THE SEARCH SAW"


def seen(paths: Paths, data: LabelledImages, positions: np.ndarray) -> int:
    """How many of the images at `positions` the search saw, where that can be known: `data` is what it was given."""
    return int(np.isin(positions, _searched(paths, data)).sum())


def _searched(paths: Paths, data: LabelledImages) -> np.ndarray:
    """Positions of the images that the search saw, if `data` is what it was given; none otherwise."""
    nothing = np.empty(0, np.int64)
    try:
        settings, seed = paths.manifest.get("settings", {}), int(paths.manifest.get("seed", 0))
        recorded = paths.manifest.get("data", {}).get("search", {}).get("digest")
        limit, classes = settings.get("limit_per_class"), _shown(settings, data)
        positions = np.unique(np.concatenate([nothing, *(data.of_class(c, limit, seed) for c in classes)]))
    except (TypeError, ValueError, AttributeError, KeyError):  # a manifest that no search of this version wrote
        return nothing
    same = recorded is not None and data.fingerprint(positions)["digest"] == recorded
    return positions if same else nothing


def _shown(settings: Mapping[str, Any], data: LabelledImages) -> list[int]:
    """The classes whose images the search was shown: its rows' own, and those of others where its objective, or the
    question of an attribution, looks at them."""
    if "rows" in settings:
        own = {c for row in settings["rows"] for c in row["members"]}
        others, opponents = settings["over"] == "all", [row["against"] for row in settings["rows"]]
    else:
        own = set(settings.get("classes", data.classes))
        others, opponents = bool(settings.get("others")), settings.get("against", [])
    if others:
        own |= {c for row in opponents for c in row} if opponents and all(opponents) else set(data.classes)
    return sorted(own)
