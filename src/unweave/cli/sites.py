"""`unweave sites`."""

from __future__ import annotations

from typing import Annotated

import typer

from unweave.cli.named_settings import NamedSettings, weights_to_load
from unweave.cli.options import Json, Logits, Model, Weights
from unweave.cli.output import print_json, print_line, print_table
from unweave.errors import SettingError


def sites(
    context: typer.Context,
    model: Model,
    shape: Annotated[str, typer.Option("--input", help="Shape of one image, such as 3x224x224.")] = "3x224x224",
    level: Annotated[
        str,
        typer.Option(
            help="block, filter, heads, neurons (several: heads+neurons), iccv2021:NETWORK (vgg16, resnet50, "
            "densenet121, darts), or names by comma."
        ),
    ] = "block",
    settings: NamedSettings = None,
    weights: Weights = None,
    logits: Logits = None,
    json: Json = False,
) -> None:
    """List the sites of a network: the values whose channels can be switched.

    Example: unweave sites torchvision:resnet50 --weights random
    """
    import torch

    from unweave.network.sites import find_sites, without_channels
    from unweave.pipeline.inputs import logits_key
    from unweave.search.published import published_settings
    from unweave.zoo.models import load_model

    example = torch.zeros(2, *image_shape(shape))
    if settings is not None:
        weights = weights_to_load(context, published_settings(settings), model, weights)
    network = load_model(model, weights)
    wanted = level.split(",") if "/" in level else level
    found = find_sites(network, example, wanted, logits=logits_key(logits))
    if json:
        listed = [
            {"name": site.name, "channels": site.channels, "dim": site.dim, "shape": site.shape} for site in found
        ]
        print_json({"model": model, "level": level, "sites": listed, "unknown": list(found.unknown)})
        return
    rows = [(site.name, site.channels, " x ".join(map(str, site.shape))) for site in found]
    print_table(f"{len(found)} sites, {found.channels} channels", ["site", "channels", "shape"], rows)
    if found.unknown:
        print_line(without_channels(found.unknown))


def image_shape(text: str) -> tuple[int, ...]:
    """`3x224x224` -> `(3, 224, 224)`."""
    parts = text.lower().replace(",", "x").split("x")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise SettingError(f"--input must be a shape such as 3x224x224, found {text!r}")
    return tuple(int(part) for part in parts)
