"""A folder imports only folders of a smaller rank; the single files below all folders import only each other."""

import ast
import graphlib
from pathlib import Path

import pytest

import unweave

ROOT = Path(unweave.__file__).parent
RANKS = (
    {"errors", "files", "places", "randomness", "progress", "estimates", "tables", "versions", "whole_numbers"},
    {"network", "data", "engine"},
    {"paths", "runs", "slicing"},
    {"zoo", "search", "decoupling", "planted"},
    {"analysis", "surgery"},
    {"views"},
    {"pipeline"},
    {"cli"},
)
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def _part(path):
    """The folder of `src/unweave` that a file is in, or the file's own name."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imported_by(path):
    package = ["unweave", *path.relative_to(ROOT).parent.parts]
    return imported(path.read_text(encoding="utf-8"), package) - {_part(path)}


def imported(source, package):
    """Parts of unweave that a file of `package` imports, functions and type checks included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("unweave.")}
        found |= {"the top" for name in names if name == "unweave"}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_import_only_smaller_ranks(path):
    own, others = _part(path), _imported_by(path)
    unknown = others - RANK.keys()
    assert not unknown, f"{own} imports {unknown}, which has no rank"
    too_high = {name for name in others if RANK[name] >= max(RANK[own], 1)}
    assert not too_high, f"{own} (rank {RANK[own]}) imports {too_high}"


def test_files_of_the_lowest_rank_do_not_import_in_circles():
    imports = {_part(path): _imported_by(path) for path in FILES if RANK[_part(path)] == 0}
    assert set(graphlib.TopologicalSorter(imports).static_order()) == RANKS[0]


def test_every_part_has_a_rank():
    assert {_part(path) for path in FILES} <= RANK.keys()
    assert len(RANK) == sum(len(names) for names in RANKS)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("import unweave.data.cifar", {"data"}),
        ("from unweave.search import solver", {"search"}),
        ("from unweave import paths", {"paths"}),
        ("import unweave", {"the top"}),
        ("def late():\n    from unweave.cli.main import run", {"cli"}),
        ("if TYPE_CHECKING:\n    from unweave.views import plots", {"views"}),
        ("from ..zoo import models", {"zoo"}),
        ("from . import sites", {"network"}),
        ("from .sites import Site", {"network"}),
        ("import torch, unweaver", set()),
    ],
)
def test_imports_of_every_form_are_found(source, parts):
    assert imported(source, ["unweave", "network"]) == parts
