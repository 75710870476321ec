"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unweave.errors import SettingError
from unweave.places import place

DATA_HELP = "imagefolder:PATH, imagelist:FILE, cifar10:PATH, cifar100:PATH, digits, or path/to/file.py:function"

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="torchvision:NAME, timm:NAME, hf:NAME, zoo:NAME, or path/to/file.py:function."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="A state dict (.safetensors, .pt, .pth, .pth.tar), a name of torchvision's (IMAGENET1K_V1), or 'random' "
        "for an untrained network."
    ),
]
Preprocess = Annotated[
    str | None,
    typer.Option(
        help="How pixels are scaled: imagenet, unit (0..1), signed (-1..1), raw (0..255) or file.py:function."
    ),
]
Size = Annotated[int | None, typer.Option(help="Resize the short side to this and crop the centre square.")]
ClassesFile = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help='JSON list of {"index", "wnid", "name"} that maps image folders to the network\'s outputs.',
    ),
]
Logits = Annotated[str | None, typer.Option(help="Which part of a dict, tuple or dataclass is the class scores.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse data with a damaged image instead of leaving it out.")]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ... Default: where the network is.")]


def place_typed(typed: str) -> Path:
    """A run folder as typed: a path, or a URL."""
    try:
        return place(typed)
    except SettingError as error:
        raise typer.BadParameter(str(error)) from error


Out = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        parser=place_typed,
        help="Folder to write, or a URL such as s3://bucket/run; the same command again goes on with it.",
    ),
]
Data = Annotated[
    str,
    typer.Argument(metavar="DATA", help=f"Inputs to find the paths of: {DATA_HELP}."),
]
Groups = Annotated[
    str | None,
    typer.Option(help='Groups to compare the clusters with: JSON {"group": [classes]}, CSV class,group, or cifar10.'),
]
Hierarchy = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="WordNet's is_a pairs (lines of parent and child id) to compare the clusters with."
    ),
]
TrainPart = Annotated[bool, typer.Option("--train", help="Training images, where DATA has two parts.")]
Limit = Annotated[int | None, typer.Option(help="At most so many inputs, evenly spread.")]
InputsBatch = Annotated[int | None, typer.Option(help="Inputs a batch; default: as many as run fastest.")]
Loaders = Annotated[int, typer.Option(help="Processes that read images ahead, for each process that computes.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what it would take; nothing is written.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
