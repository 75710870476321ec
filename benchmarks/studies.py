"""Every study of class sub-architectures, for every method: what `docs/measured.md` says of real networks.

    python -m benchmarks.studies resnet20 --work work/studies --seeds 0 1 2 --limit 500 --passes 20
    python -m benchmarks.studies --figures

CIFAR-10 networks: searched on training images, measured on the 1,000 test images. ImageNet networks: searched on
Imagenette's training folder (ten of the 1,000 classes), measured on its photos from ImageNet's validation set. Every
(network, method, seed) is a run folder below `--work`: a command that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import unweave as uw
from benchmarks import study_networks, study_pages, study_pictures
from benchmarks.common import RESULTS, keep, table_of
from benchmarks.images import IMAGENET, PREPROCESSING
from benchmarks.study_methods import METHODS, Study
from unweave.analysis.class_rows import class_rows
from unweave.analysis.predictions import Predictor, image_batches
from unweave.analysis.stability import Stability
from unweave.errors import PathsError
from unweave.paths import Paths
from unweave.pipeline.groups import groups_of
from unweave.runs.folder import RunFolder
from unweave.tables import Table

CONTROLS = 1
"""Random masks a row: every seed draws others, and `random` is a method of its own."""
OTHERS = 100
"""Images of other classes that ablation and the keep curve ask a row about."""
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)
"""Fine at both ends, where channels begin to be missed and to suffice; coarser between than `keep_curve` itself."""


def measured(study: Study, method: str, seed: int, paths: Paths, *, deep: bool) -> dict[str, Table]:
    """All tables of one run; those that take long are kept in its folder, and read when they are there.

    `deep`: also those that ask every row through many masks (ablation, keep curve), mosaics and the compressed images.
    """
    network, images, folder = study.network, study.images[1], study.folder(method, seed)

    def kept(name: str, make: Callable[[], Table]) -> Table:
        stem = folder.table(name)
        file = stem.with_name(f"{name}.json")
        if not file.is_file():
            print(f"{study.name}, {method}, seed {seed}: {name}", flush=True)
            make().save(stem)
        return table_of(json.loads(file.read_text()))

    alike = uw.similarity(paths)
    found = {
        "accuracy": kept("accuracy", lambda: uw.accuracy(network, paths, images)),
        "specificity": kept(
            "specificity", lambda: uw.specificity(network, paths, images, controls=CONTROLS, seed=seed)
        ),
        "misjudgements": kept("misjudgements", lambda: uw.misjudgements(network, paths, images, seed=seed).classes),
        "usage": uw.usage(paths),
        "similarity": alike.per_site,
        "clusters": uw.cluster(alike, groups=groups_of(None, paths)).agreement,
    }
    found["interpretability"] = uw.interpretability(paths, found["accuracy"])
    if deep:
        found["ablation"] = kept(
            "ablation", lambda: uw.ablation(network, paths, images, others=OTHERS, controls=CONTROLS, seed=seed)
        )
        found["hit_rate"] = kept("hit_rate", lambda: uw.hit_rate(network, paths, images, seed=seed))
        if paths.scores is not None:
            found["keep_curve"] = kept(
                "keep_curve",
                lambda: uw.keep_curve(
                    network, paths, images, shares=SHARES, others=OTHERS, controls=CONTROLS, seed=seed
                ),
            )
        if (compressed := study.compressed) is not None:
            found["misjudgements_compressed"] = kept(
                "misjudgements_compressed", lambda: uw.misjudgements(network, paths, compressed, seed=seed).classes
            )
    return found


def image_differences(study: Study, method: str, seed: int, paths: Paths) -> tuple[np.ndarray, np.ndarray]:
    """`[images]`: what each image adds to the difference of the mean balanced accuracy of the sub-architectures from
    that of the whole network; and the images' labels.

    With `K` rows, an image x of class c adds `(f_c(x) - w_c(x)) / (2 K n_c)` for its own row, and for every other row d
    `-(f_d(x) - w_d(x)) / (2 K (n - n_d))`, where `f` and `w` are 1 if the row, or the whole network, calls x by it.
    """
    file, images = study.folder(method, seed).root / "calls.npz", study.images[1]
    rows = class_rows(paths, "this")
    if not file.is_file():
        predictor = Predictor.of(study.network, paths)
        through, whole, where = [], [], []
        for positions, batch in image_batches(images, range(len(images))):
            original = predictor.original(batch)
            where.append(positions)
            whole.append(np.stack([row.called(original) for row in rows]))
            through.append(np.stack([row.called(predictor.through(n, batch)) for n, row in enumerate(rows)]))
        parts = {"through": np.concatenate(through, 1), "whole": np.concatenate(whole, 1)}
        np.savez_compressed(file, **parts, labels=images.labels[np.concatenate(where)])
    with np.load(file) as saved:
        change = saved["through"].astype(float) - saved["whole"]
        labels = saved["labels"]
    own = np.stack([np.isin(labels, row.members) for row in rows])
    counts = own.sum(1, keepdims=True)
    weights = np.where(own, 1 / np.maximum(counts, 1), -1 / np.maximum((~own).sum(1, keepdims=True), 1))
    return (weights * change).sum(0) / (2 * len(rows)), labels


def paired(differences: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The whole difference with its interval (95 %, normal), images of each class being the sample."""
    variance = sum((labels == c).sum() * differences[labels == c].var(ddof=1) for c in set(labels.tolist()))
    reach = 1.96 * math.sqrt(variance)
    total = float(differences.sum())
    return {"difference": total, "low": total - reach, "high": total + reach}


def figures_of(tables: dict[str, Table], seconds: dict[str, Any] | None) -> dict[str, float]:
    """The numbers of one run, by name, which are then averaged over seeds."""
    specificity, ablation = tables["specificity"].summary, tables.get("ablation")
    found = {name: value for name, value in specificity.items() if not isinstance(value, str)}
    found |= {
        "kept": tables["usage"].summary["usage"],
        "similarity": tables["similarity"].summary["similarity"],
        "similarity_by_chance": tables["similarity"].summary["expected_by_chance"],
        "interpretability": tables["interpretability"]["score"][0],
        "interpretability_similarities": tables["interpretability"]["score"][1],
    }
    for name in ("misjudgements", "misjudgements_compressed"):
        if name in tables:
            told = ("mis", "oth", "difference", "p", "correlation", "correlation_p")
            summary = tables[name].summary  # kept before the correlation was measured: without
            found |= {f"{name}_{key}": summary[key] for key in told if key in summary}
    for measure, value in zip(tables["clusters"]["measure"], tables["clusters"]["value"], strict=True):
        found[f"clusters: {measure}"] = value
    if ablation is not None:
        for mask, dropped, value in zip(ablation["mask"], ablation["dropped"], ablation["balanced"], strict=True):
            if dropped:
                found[f"ablation: {mask}, {dropped}"] = value
    if "keep_curve" in tables:
        found |= tables["keep_curve"].summary
    if "hit_rate" in tables:
        found["hit_rate_best"] = tables["hit_rate"].summary["best"]
    return found | {name: seconds[name] for name in ("seconds", "processor_seconds") if seconds}


def over_seeds(runs: list[dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Mean, deviation (of single runs) and the values, of every number that some run has."""
    found = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [float(run[name]) for run in runs if run.get(name) is not None and not math.isnan(run[name])]
        if values:
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            found[name] = {"mean": float(np.mean(values)), "deviation": spread, "values": values}
    return found


def study_method(study: Study, method: str, seeds: list[int], deep_seeds: int) -> dict[str, Any]:
    """Search and measure with every seed, and put it together."""
    paths = {seed: METHODS[method](study, seed) for seed in seeds}
    tables = {
        seed: measured(study, method, seed, paths[seed], deep=number < deep_seeds) for number, seed in enumerate(seeds)
    }
    changes = [image_differences(study, method, seed, paths[seed]) for seed in seeds]
    seconds = {seed: _seconds(study.folder(method, seed)) for seed in seeds}
    first, stable = paths[seeds[0]], _stable(list(paths.values()))
    result: dict[str, Any] = {
        "network": study.name,
        "method": method,
        "objective": first.manifest.get("objective"),
        "settings": {
            "passes": study.passes,
            "rate": first.manifest.get("settings", {}).get("rate", study.rate),
            "precision": first.manifest.get("settings", {}).get("precision", "float32"),
            "search_images_per_class": study.limit,
        },
        "steps_per_class": max(first.manifest.get("steps", [0])) or None,
        "seeds": seeds,
        "measured_on": tables[seeds[0]]["accuracy"].title,
        "figures": over_seeds([figures_of(tables[seed], seconds[seed]) for seed in seeds]),
        "balanced_against_whole_network": {
            "all_seeds": paired(np.mean([change for change, _ in changes], 0), changes[0][1]),
            "each_seed": [paired(*change) for change in changes],
        },
        "stability": dict(stable.per_site.summary) if stable is not None else None,
        "seconds": {str(seed): {"search": seconds[seed]} for seed in seeds},
        "raw": {
            "elbow": first.manifest.get("elbow"),
            "similarity_matrix": uw.similarity(first).matrix.tolist(),
            "stability": _short(stable.per_site) if stable is not None else None,
            "stability_classes": _short(stable.classes) if stable is not None else None,
            **{str(seed): {name: _short(table) for name, table in tables[seed].items()} for seed in seeds},
        },
    }
    if method == "released":
        _keep_feature_maps(study, first, seeds[0])
    return _rounded(result)


def _stable(runs: list[Paths]) -> Stability | None:
    """None where nothing that a seed decides entered them: of fifty photos a class there may be no others to draw."""
    if len(runs) < 2:
        return None
    try:
        return uw.stability(runs)
    except PathsError as error:
        if "has the scores of run" not in str(error):
            raise
        print(error, flush=True)
        return None


def _keep_feature_maps(study: Study, paths: Paths, seed: int) -> None:
    from unweave.views.mosaic_plots import plot_feature_maps
    from unweave.views.style import save_figure

    stem = study.folder("released", seed).figure("feature_maps")
    if not stem.with_suffix(".png").is_file():
        stem.parent.mkdir(parents=True, exist_ok=True)
        save_figure(plot_feature_maps(uw.feature_maps(study.network, paths, study.images[1], seed=seed), 0), stem)


def _seconds(folder: RunFolder) -> dict[str, Any] | None:
    file = folder.root / "seconds.json"
    return json.loads(file.read_text()) if file.is_file() else None


def _short(table: Table) -> dict[str, Any]:
    saved = table.as_dict()
    del saved["meanings"]
    return saved


def _rounded(value: Any) -> Any:
    """Six digits are more than any of these numbers has, and NaN is no JSON."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value.item() if hasattr(value, "item") else value


def keep_interpretability(work: Path, seed: int, results: Path) -> None:
    """The comparison of networks; those whose run folders are elsewhere stay as they were measured before."""
    file = results / "studies_interpretability.json"
    before = json.loads(file.read_text())["raw"] if file.is_file() else {}
    together = study_networks.put_together(before, study_networks.compared(work, seed))
    keep(file.stem, {"raw": _rounded(together)}, results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", choices=sorted(PREPROCESSING))
    parser.add_argument("--work", type=Path, default=Path("work/studies"), help="where the run folders are")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--limit", type=int, help="search images a class; default 500, of Imagenette 50")
    parser.add_argument("--measure-limit", type=int, help="test images a class; default: all")
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.1, help="of all searches but selective's, which has its own")
    parser.add_argument("--beta", default="0.1", help="of released and variational: a number, or elbow")
    parser.add_argument("--precision", default="float32", help="of the searches: float32 or bfloat16")
    parser.add_argument(
        "--deep-seeds", type=int, default=99, help="how many seeds get ablation, keep curve, mosaics, JPEG images"
    )
    parser.add_argument("--figures", action="store_true", help="only tables and pictures of the results that are there")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--images", type=Path, default=study_pictures.IMAGES, help="where pictures go")
    chosen = parser.parse_args()
    if not chosen.figures:
        if chosen.network is None:
            parser.error("give a network, or --figures")
        limit = chosen.limit or (50 if chosen.network in IMAGENET else 500)
        beta = chosen.beta if chosen.beta == "elbow" else float(chosen.beta)
        study = Study(
            chosen.network, chosen.work, limit, chosen.passes, chosen.rate, beta, chosen.measure_limit, chosen.precision
        )
        for method in chosen.methods:
            result = study_method(study, method, chosen.seeds, chosen.deep_seeds)
            keep(f"studies_{study.name}_{method}", result, chosen.results)
        drawn = study.folder("released", chosen.seeds[0]).figure("feature_maps").with_suffix(".png")
        if drawn.is_file() and chosen.network not in IMAGENET:  # its photos belong to others
            chosen.images.mkdir(parents=True, exist_ok=True)
            shutil.copy(drawn, chosen.images / f"studies_{study.name}_feature_maps.png")
    if chosen.work.is_dir():
        keep_interpretability(chosen.work, chosen.seeds[0], chosen.results)
    study_pictures.draw(chosen.results, chosen.images)
    print("\n".join(study_pages.section(chosen.results)))


if __name__ == "__main__":
    main()
