"""Misjudgements with all seeds of a study in one test, instead of a p for each.

    python -m benchmarks.study_misjudgements --work work/studies

Seeds share the network's mistakes, so their p are no independent witnesses. Here the similarity of two classes is the
mean over seeds, and the permutations are of that: one p for each network, method and set of images. Of so many, some
are small by chance: `holm` is what Holm's correction makes of them, over all of one kind.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import unweave as uw
from benchmarks.common import RESULTS, keep
from benchmarks.images import IMAGENET, PREPROCESSING
from benchmarks.study_methods import METHODS, Study
from unweave.analysis.misjudgements import Confusions, from_confusions
from unweave.analysis.predictions import Predictor, image_batches
from unweave.data.labelled import LabelledImages
from unweave.paths import Paths
from unweave.runs.folder import RunFolder

PERMUTATIONS = 10_000
"""So many that the least p there is stays small after a correction for some dozen tests."""
KEPT = ("mis", "oth", "difference", "p", "correlation", "correlation_p", "classes_compared", "misjudged")


def measured(work: Path, name: str, seeds: list[int]) -> list[dict[str, Any]]:
    """One entry a method whose run folders are there with all seeds, and set of images."""
    folders = {method: [RunFolder(work / name / method / f"seed{seed}") for seed in seeds] for method in METHODS}
    searches = {
        method: [Paths.load(folder.paths_file) for folder in mine]
        for method, mine in folders.items()
        if all(folder.paths_file.is_file() for folder in mine)
    }
    if not searches:
        return []
    study, found = Study(name, work, 1, 1, 0.1, 0.1), []
    sets = {"test images": study.images[1], "JPEG images": study.compressed}
    for shown, images in sets.items():
        if images is None:
            continue
        some = next(iter(searches.values()))[0]
        confusions = _confusions(study.network, some, images)
        for method, runs in searches.items():
            told = together(runs, confusions)
            found.append({"network": name, "method": method, "images": shown, "seeds": seeds, **told})
            print(found[-1], flush=True)
    return found


def together(runs: list[Paths], confusions: Confusions) -> dict[str, Any]:
    """Of the mean similarity of several searches, what `misjudgements` says of one."""
    alike = uw.similarity(runs[0])
    mean = np.mean([uw.similarity(run).matrix for run in runs], 0)
    read = np.arange(int(confusions.images.sum()))
    of_all = replace(alike, matrix=mean)
    found = from_confusions(runs[0], of_all, confusions, "all seeds", read, permutations=PERMUTATIONS)
    return {name: found.classes.summary[name] for name in KEPT}


def _confusions(network: Any, paths: Paths, images: LabelledImages) -> Confusions:
    predictor = Predictor.of(network, paths)
    wanted = np.flatnonzero(np.isin(images.labels, paths.rows.classes))
    where, called = [], []
    for positions, batch in image_batches(images, wanted):
        where.append(positions)
        called.append(predictor.original(batch).argmax(1))
    return Confusions.of(paths.rows.classes, images.labels[np.concatenate(where)], np.concatenate(called))


def holm(chances: list[float]) -> list[float]:
    """Holm's step-down adjustment: the k-th smallest of n times (n - k + 1), never below an earlier one, at most 1."""
    order, found, least = np.argsort(chances, kind="stable"), [1.0] * len(chances), 0.0
    for place, index in enumerate(order.tolist()):
        least = max(least, min(1.0, (len(chances) - place) * chances[index]))
        found[index] = least
    return found


def adjusted(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With `p_holm` and `correlation_p_holm`, over all entries of the same images that have a p."""
    for shown in dict.fromkeys(entry["images"] for entry in entries):
        for name in ("p", "correlation_p"):
            same = [one for one in entries if one["images"] == shown and not _missing(one[name])]
            for entry, value in zip(same, holm([one[name] for one in same]), strict=True):
                entry[f"{name}_holm"] = value
    return [{name: None if _missing(value) else value for name, value in one.items()} for one in entries]


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def section(results: Path) -> list[str]:
    """The table of the page."""
    file = results / "studies_misjudgements.json"
    if not file.is_file():
        return ["Not measured yet."]
    entries = json.loads(file.read_text())["raw"]
    lines = []
    for shown in dict.fromkeys(entry["images"] for entry in entries):
        lines += [
            f"All seeds together, {shown}: similarity is the mean over seeds; p, and after Holm's correction over the "
            "table's lines.",
            "",
            "| network | method | Mis., Oth. (classes) | p | Holm | rank correlation | p | Holm |",
            "|---|---|---|---|---|---|---|---|",
            *(_line(entry) for entry in entries if entry["images"] == shown),
            "",
        ]
    return lines


def _line(entry: dict[str, Any]) -> str:
    pairs = [("p", "p_holm"), ("correlation_p", "correlation_p_holm")]
    chances = [tuple("-" if entry.get(one) is None else f"{entry[one]:.4f}" for one in pair) for pair in pairs]
    compared = (
        "-"
        if entry["mis"] is None
        else f"{100 * entry['mis']:.2f}, {100 * entry['oth']:.2f} ({entry['classes_compared']})"
    )
    correlation = "-" if entry["correlation"] is None else f"{entry['correlation']:+.2f}"
    cells = (entry["network"], entry["method"], compared, *chances[0], correlation, *chances[1])
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work/studies"), help="where the run folders are")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    entries = [
        entry
        for name in sorted(set(PREPROCESSING) - set(IMAGENET))
        for entry in measured(arguments.work, name, arguments.seeds)
    ]
    keep("studies_misjudgements", {"raw": adjusted(entries)}, arguments.results)


if __name__ == "__main__":
    main()
