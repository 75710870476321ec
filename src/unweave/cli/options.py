"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="torchvision:NAME, timm:NAME, zoo:NAME, or path/to/file.py:function.")
]
Weights = Annotated[
    str | None,
    typer.Option(help="A state dict (.safetensors, .pt, .pth, .pth.tar), or 'random' for an untrained network."),
]
Preprocess = Annotated[
    str | None,
    typer.Option(
        help="How pixels are scaled: imagenet, unit (0..1), signed (-1..1), raw (0..255) or file.py:function."
    ),
]
Size = Annotated[int | None, typer.Option(help="Resize the short side to this and crop the centre square.")]
ClassesFile = Annotated[
    Path | None,
    typer.Option(help='JSON list of {"index", "wnid", "name"} that maps image folders to the network\'s outputs.'),
]
Logits = Annotated[str | None, typer.Option(help="Which part of a dict, tuple or dataclass is the class scores.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse data with a damaged image instead of leaving it out.")]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ... Default: where the network is.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
DATA_HELP = "imagefolder:PATH, cifar10:PATH, cifar100:PATH, digits, or path/to/file.py:function"
