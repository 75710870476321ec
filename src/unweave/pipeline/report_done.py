"""What was done, as a report tells it: from the manifest of the paths, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unweave.paths import Paths
from unweave.pipeline.report_sections import Measuring
from unweave.tables import Table


def what_was_done(paths: Paths, found: Table, measuring: Measuring, against: Sequence[Paths]) -> list[tuple[str, str]]:
    """(name, value) of everything that the manifest and the measures tell."""
    manifest, sites = paths.manifest, paths.sites
    settings, network = dict(manifest.get("settings", {})), manifest.get("network", {})
    digest = str(network.get("digest", ""))[:16] if isinstance(network, Mapping) else ""
    versions, searched = manifest.get("versions", {}), dict(manifest.get("data", {})).get("search", {})
    inputs, named = dict(manifest.get("inputs", {})), measuring.named
    measured = measuring.images.fingerprint(np.arange(len(measuring.images)))
    asked = f"; at most {measuring.others} images of other classes a row" if measuring.others is not None else ""
    told = [
        ("shape of an image", str(tuple(sites.image_shape))),
        ("weights (digest)", digest),
        ("method", str(manifest.get("method", "unknown"))),
        ("objective", _named(manifest.get("objective"))),
        ("begun from", _named(manifest.get("start"))),
        ("rows", f"{len(paths)}: " + ", ".join(paths.rows.names[:8]) + (", ..." if len(paths) > 8 else "")),
        ("sites", f"{len(sites)}, {sum(site.channels for site in sites)} channels"),
        ("data of the search", named.get("search", "")),
        ("searched on", _searched(searched)),
        ("pixels", ", ".join(f"{name} {inputs[name]}" for name in ("preprocess", "size") if inputs.get(name))),
        ("settings", _settings(settings)),
        ("seed of the search", str(manifest.get("seed", "unknown"))),
        ("seed of the measures", str(measuring.seed)),
        ("searches with other seeds", _seeds(against)),
        ("data of the measures", named.get("measures", "")),
        ("images of the measures", _searched(measured)),
        ("measured on", found.title + asked),
        ("versions", ", ".join(f"{name} {value}" for name, value in dict(versions).items())),
    ]
    return [(name, value) for name, value in told if value]


def _settings(settings: Mapping[str, Any]) -> str:
    """Without the rows of attribution, which have a line of their own."""
    told = {name: value for name, value in settings.items() if name != "rows" and _worth_saying(value)}
    return ", ".join(f"{name} {_said(value)}" for name, value in told.items())


def _named(values: object) -> str:
    """Its name, then `"setting value, ..."`; nothing if the manifest does not tell."""
    if not isinstance(values, Mapping):
        return ""
    names = [str(values[key]) for key in ("name", "method") if key in values]
    others = [f"{key} {_said(value)}" for key, value in values.items() if key not in ("name", "method")]
    return ", ".join(names + others)


def _seeds(against: Sequence[Paths]) -> str:
    """How many searches, and what their manifests say of their seeds."""
    if not against:
        return "none given"
    told = ", ".join(str(one.manifest.get("seed", "unknown")) for one in against)
    return f"{len(against)}: seed{'s' if len(against) > 1 else ''} {told}"


def _searched(data: object) -> str:
    """The images of a fingerprint; nothing if the manifest does not tell."""
    if not isinstance(data, Mapping) or "images" not in data:
        return ""
    return f"{data['images']} images of {data.get('classes', 'unknown')} classes, digest {data.get('digest', '')}"


def _worth_saying(value: object) -> bool:
    """Not what was left empty: no groups, no opponents."""
    if isinstance(value, list | tuple | dict):
        return any(_worth_saying(one) for one in (value.values() if isinstance(value, dict) else value))
    return value is not None


def _said(value: object) -> str:
    if isinstance(value, Mapping):  # by site, or by group
        return _said(list(value))
    if isinstance(value, list | tuple):
        return f"({len(value)} values)" if len(value) > 12 else "(" + ", ".join(map(_said, value)) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)
