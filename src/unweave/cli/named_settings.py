"""`--settings NAME`: a published run's settings take the place of the defaults, and what is typed wins."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unweave.errors import SettingError, SiteError

if TYPE_CHECKING:
    from unweave.search.published import PublishedSettings
    from unweave.search.search import Search


_FILES = ("model", "weights", "preprocess", "classes_file")
"""Settings that may name a file."""


def _as_defaults(context: typer.Context, name: str | None) -> str | None:
    """Options that are read after this one, and not typed, find these defaults."""
    if name is not None:
        context.default_map = {**(context.default_map or {}), **_options(name)}
    return name


NamedSettings = Annotated[
    str | None,
    typer.Option(
        "--settings",
        metavar="NAME",
        is_eager=True,
        callback=_as_defaults,
        help="A published run's settings, such as iccv2021:vgg16:imagenet: MODEL, level and all that is not typed.",
    ),
]


def _options(name: str) -> dict[str, Any]:
    """Values of options, and of MODEL, by parameter. Beta is a text, because it may be typed as `elbow`."""
    from unweave.search.published import published_settings

    record = asdict(published_settings(name))
    found = {key: value for key, value in record.items() if key not in ("name", "source", "classes")}
    return {**found, "beta": f"{record['beta']:g}"}


def said(context: typer.Context, name: str, used: dict[str, Any]) -> dict[str, Any]:
    """Say on standard error what was typed instead of a setting of that name; for the manifest, both, without this
    machine's paths."""
    published = _options(name)
    instead = {
        key: value
        for key, value in used.items()
        if published.get(key) is not None and is_typed(context, key) and str(value) != str(published[key])
    }
    if instead:
        listed = ", ".join(f"{key} {value} (not {published[key]})" for key, value in instead.items())
        sys.stderr.write(f"unweave: {name}, but as typed: {listed}\n")
    plain = {key: value.rpartition("/")[2] if key in _FILES else value for key, value in instead.items()}
    return {"name": name, "instead": plain}


def is_typed(context: typer.Context, parameter: str) -> bool:
    """Whether a parameter stands on the command line."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def without_unused(context: typer.Context, reading: dict[str, Any], *data: str | None) -> dict[str, Any]:
    """How images are read, without settings that nobody typed where no folder of images is among `data`."""
    if any(spec is not None and spec.startswith("imagefolder:") for spec in data):
        return reading
    return {key: value if is_typed(context, key) else None for key, value in reading.items()}


def weights_to_load(context: typer.Context, settings: PublishedSettings, model: str, weights: str | None) -> str | None:
    """The weights that are typed; else the published ones of the published network, and none of another.

    Raises
    ------
    SettingError
        If the published weights are a file that nobody named.
    """
    if is_typed(context, "weights"):
        return weights
    if model != settings.model:
        return None
    if settings.weights is None:
        raise SettingError(f"{model} comes without the weights of {settings.name}; give --weights FILE")
    return settings.weights


def check_fit(settings: PublishedSettings, model: str, search: Search) -> None:
    """Refuse a network that is not like the published one: without its sites, or for another number of classes."""
    try:
        classes = search.prepared.captured.classes
    except SiteError as error:
        if search.sites != settings.level:
            raise
        raise SettingError(f"{settings.name} is for {settings.model}, and {model} does not fit: {error}") from error
    if classes != settings.classes:
        raise SettingError(
            f"{settings.name} is for {settings.classes} classes, {model} has {classes}; give --weights of such a "
            "network, or leave --settings out and type what you want of it"
        )
