"""Interpretability against discriminability of the networks that were studied, here or elsewhere before."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import unweave as uw
from benchmarks.common import table_of
from benchmarks.images import PREPROCESSING
from benchmarks.study_methods import METHODS
from unweave.analysis.interpretability import rank_correlation
from unweave.paths import Paths
from unweave.runs.folder import RunFolder
from unweave.tables import Table


def compared(work: Path, seed: int) -> dict[str, Table]:
    """Method: its table of the networks whose run folders are below `work`."""
    found = {}
    for method in METHODS:
        there: dict[str, tuple[Paths, Table]] = {}
        for name in PREPROCESSING:
            folder = RunFolder(work / name / method / f"seed{seed}")
            accuracy = folder.table("accuracy").with_suffix(".json")
            if folder.finished and accuracy.is_file():
                there[name] = (Paths.load(folder.paths_file), table_of(json.loads(accuracy.read_text())))
        if there:
            found[method] = uw.compare_interpretability(there)
    return found


def put_together(before: dict[str, Any], found: dict[str, Table]) -> dict[str, Any]:
    """The tables `before`, in their JSON form, with the rows of the networks in `found` in the place of older ones."""
    together = {}
    for method in METHODS:
        rows: dict[str, dict[str, Any]] = {}
        for columns in (before.get(method, {}).get("columns"), found[method].columns if method in found else None):
            if columns is not None:
                lines = ({name: values[i] for name, values in columns.items()} for i in range(len(columns["network"])))
                rows |= {line["network"]: line for line in lines}
        ordered = [rows[name] for name in PREPROCESSING if name in rows]
        if ordered:
            columns = {name: [row[name] for row in ordered] for name in ordered[0]}
            correlation: float | None = rank_correlation(columns["score"], columns["top1"])
            correlation = None if math.isnan(correlation) else correlation
            title = f"Interpretability against discriminability of {len(ordered)} network{'s' * (len(ordered) > 1)}"
            together[method] = {"title": title, "summary": {"rank_correlation": correlation}, "columns": columns}
    return together
