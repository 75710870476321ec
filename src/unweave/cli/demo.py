"""`unweave demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unweave.cli.options import Json, Seed
from unweave.cli.output import percent, print_json, print_line, print_table
from unweave.errors import RunError


def demo(
    out: Annotated[Path, typer.Option(help="Folder for paths, tables and figures.")] = Path("unweave-demo"),
    seed: Seed = 0,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1, ...: where the network is taken apart; it is trained on the CPU.")
    ] = "cpu",
    json: Json = False,
) -> None:
    """Train a small network on handwritten digits and take it apart: no download, about a minute.

    Example: unweave demo
    """
    from unweave.pipeline.demo import run_demo
    from unweave.pipeline.measures import check_places
    from unweave.runs.folder import RunFolder

    folder = RunFolder(out)
    if folder.record_file.exists():
        raise RunError(f"{out} holds a search of yours; give the demo another folder: --out")
    folder.check_writable()
    check_places(folder)
    result = run_demo(out, seed, device=device)
    tables = {name: table for one in result.measured for name, table in one.tables.items()}
    specificity, usage = tables["specificity"], tables["usage"]
    if json:
        shown = {name: table.as_dict() for name, table in tables.items()}
        files = [str(file) for file in result.files]
        print_json({"top1": result.top1, "seconds": result.seconds, "tables": shown, "files": files})
        return
    objective = result.paths.manifest["objective"]
    print_line(f"A residual network for 8 x 8 digits, {percent(result.top1)} right on {result.held_out} unseen digits,")
    print_line(f"taken apart into ten sub-architectures (objective {objective['name']}, beta {objective['beta']:g}).")
    print_line()
    kept = result.paths.kept() @ [site.channels for site in result.paths.sites] / result.paths.sites.channels
    rows = zip(
        specificity["name"],
        map(percent, kept),
        map(percent, specificity["own"]),
        map(percent, specificity["original_own"]),
        map(percent, specificity["false_accepts"]),
        map(percent, specificity["random_own"]),
        strict=True,
    )
    columns = ["digit", "channels kept", "own digit", "whole network", "false accepts", "random mask"]
    print_table("Held-out digits", columns, rows)
    print_line()
    print_line("own digit: recognised through the digit's own sub-architecture. random mask: the")
    print_line("same through as many channels, drawn at random. false accepts: other digits that it")
    print_line("calls by this digit too. Were it high, as it is with --objective released, the")
    print_line("sub-architecture would answer its class for almost any image.")
    print_line()
    sites = zip(usage["site"], usage["channels"], map(percent, usage["usage"]), strict=True)
    print_table("Channels used", ["site", "channels", "kept"], sites)
    print_line()
    print_line(f"{result.seconds:.0f} s. Figures (and as SVG beside them):")
    for file in result.files:
        if file.suffix == ".png":
            print_line(f"  {file}")
    print_line(f"Tables (CSV and JSON): {out / 'tables'}. Sub-architectures: {result.files[0]}")
    print_line(f"Open this first: {result.files[1]}")
