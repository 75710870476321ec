"""Tables of `studies_*.json`, for `docs/measured.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import study_misjudgements

ORDER = (
    *("released", "variational", "concept-path", "selective", "selective-random"),
    *("attribute", "attribute-fast", "random"),
)
PUBLISHED = (
    "| published (ICCV Table 1) | VGG16 | ResNet50 | DenseNet121 | DARTS-Net |",
    "|---|---|---|---|---|",
    "| ImageNet: Mis., Oth. | 78.59, 73.74 | 59.38, 57.09 | 53.35, 51.41 | 60.02, 52.97 |",
    "| Places365: Mis., Oth. | 81.87, 78.75 | 65.49, 60.34 | 43.95, 42.02 | 61.96, 55.97 |",
)


_IMAGES = Path(__file__).parent.parent / "docs" / "images"


def networks(results: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The results that are there: network, method, result."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for file in sorted(results.glob("studies_*_*.json")):
        result = json.loads(file.read_text())
        found.setdefault(result["network"], {})[result["method"]] = {"file": file.name, **result}
    return {name: {method: methods[method] for method in ORDER if method in methods} for name, methods in found.items()}


def _mean(result: dict[str, Any], name: str, scale: float = 100, digits: int = 1) -> str:
    """Mean and deviation over seeds; a dash where it was not measured."""
    found = result["figures"].get(name)
    if found is None:
        return "-"
    spread = f" ± {scale * found['deviation']:.{digits}f}" if found["deviation"] is not None else ""
    return f"{scale * found['mean']:.{digits}f}{spread}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows)]


def _against_whole(result: dict[str, Any]) -> str:
    """The mean of all seeds with its interval over images; then each seed."""
    measured = result["balanced_against_whole_network"]
    found, each = measured["all_seeds"], measured["each_seed"]
    seeds = f"; {', '.join(_points(one) for one in each)}" if len(each) > 1 else ""
    return f"{_points(found)} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f}){seeds}"


def _points(found: dict[str, Any]) -> str:
    return f"{100 * found['difference']:+.1f}"


def _accuracies(methods: dict[str, dict[str, Any]]) -> list[str]:
    head = (
        "method (beta)",
        "channels kept",
        "own class",
        "false accepts",
        "balanced",
        "points against the whole network; each seed",
    )
    rows = []
    for name, result in methods.items():
        beta = (result["objective"] or {}).get("beta")
        searched = name not in ("attribute", "attribute-fast", "random") and beta is not None
        label = f"{name} ({beta:g})" if searched else name
        figures = (_mean(result, f) for f in ("kept", "own", "false_accepts", "balanced"))
        worst = (_mean(result, "worst_balanced"), _mean(result, "random_own"), _mean(result, "random_balanced"))
        rows.append((label, *figures, _against_whole(result), *worst))
    first = next(iter(methods.values()))
    whole = (_mean_only(first, f"original_{f}") for f in ("own", "false_accepts", "balanced"))
    rows.append(("whole network", "100.0", *whole, "", _mean_only(first, "original_worst_balanced"), "", ""))
    return _table((*head, "worst class", "random mask: own", "random mask: balanced"), rows)


def _mean_only(result: dict[str, Any], name: str) -> str:
    return f"{100 * result['figures'][name]['mean']:.1f}"


def _controls(methods: dict[str, dict[str, Any]]) -> list[str]:
    head = ("method", "zero", "mean", "resampled", "complement: zero", "mean", "resampled")
    names = [
        f"ablation: {mask}, {filling}"
        for mask in ("sub-architecture", "complement")
        for filling in ("zero", "mean", "resample")
    ]
    areas = ("keep_area", "remove_area", "random_area")
    rows = [
        (
            name,
            *(_mean(result, figure) for figure in names),
            *(_mean(result, area, 1, 3) for area in areas),
            _mean(result, "hit_rate_best"),
        )
        for name, result in methods.items()
    ]
    return _table((*head, "area kept", "area removed", "area random", "hit rate, best site"), rows)


_CONFUSED = {
    "misjudgements": "how often confused, how similar: rank correlation (p)",
    "misjudgements_compressed": "the same correlation, JPEG images",
}


def _relations(methods: dict[str, dict[str, Any]]) -> list[str]:
    head = ("method", "other classes, other seed", "itself, other seed", "sites told apart")
    confused = [name for name in _CONFUSED if any(f"{name}_correlation" in m["figures"] for m in methods.values())]
    rows = []
    for name, result in methods.items():
        stable, sites = (
            result["stability"],
            len(result["raw"][str(result["seeds"][0])]["similarity"]["columns"]["site"]),
        )
        apart: tuple[str, ...] = ("-", "-", "-")
        if stable is not None:
            told = f"{stable['sites_told_apart']} of {sites}"
            apart = (f"{stable['other_similarity']:.3f}", f"{stable['self_similarity']:.3f}", told)
        rows.append(
            (
                name,
                *apart,
                _mean(result, "interpretability", 1e4, 2),
                _mean(result, "clusters: groups and clusters, adjusted Rand index", 1, 2),
                *(_misjudged(result, measure) for measure in _CONFUSED),
                *(_correlated(result, measure) for measure in confused),
            )
        )
    more = ("interpretability, 1e-4", "groups (adjusted Rand)", "Mis., Oth. (p)", "the same, JPEG images")
    return _table((*head, *more, *(_CONFUSED[name] for name in confused)), rows)


def _correlated(result: dict[str, Any], measure: str) -> str:
    figures = result["figures"]
    if f"{measure}_correlation" not in figures:
        return "-"
    chances = ", ".join(f"{p:.3f}" for p in figures[f"{measure}_correlation_p"]["values"])
    return f"{figures[f'{measure}_correlation']['mean']:+.2f} ({chances})"


def _misjudged(result: dict[str, Any], measure: str) -> str:
    figures = result["figures"]
    runs = [result["raw"][str(seed)] for seed in result["seeds"]]
    counts = [int(run[measure]["summary"]["classes_compared"]) for run in runs if measure in run]
    if f"{measure}_mis" not in figures:
        return "no class" if counts else "-"
    mis, oth = (100 * figures[f"{measure}_{key}"]["mean"] for key in ("mis", "oth"))
    chances = ", ".join(f"{p:.3f}" for p in figures[f"{measure}_p"]["values"])
    return f"{mis:.2f}, {oth:.2f} ({chances}; {'/'.join(map(str, dict.fromkeys(counts)))} classes)"


def _seconds(methods: dict[str, dict[str, Any]]) -> list[str]:
    """How long searches took, in processor seconds, and what attribution is to `released`."""
    rows = []
    for name, result in methods.items():
        if "processor_seconds" not in result["figures"]:
            continue
        ratio = points = "-"
        if (released := methods.get("released")) is not None and name.startswith("attribute"):
            spent = (r["figures"]["processor_seconds"]["mean"] for r in (result, released))
            ratio = f"{next(spent) / next(spent):.2f}"
            ours, theirs = (r["figures"]["own"]["values"] for r in (result, released))
            if len(ours) == len(theirs):
                points = ", ".join(f"{100 * (a - b):+.1f}" for a, b in zip(ours, theirs, strict=True))
        rows.append((name, _mean(result, "processor_seconds", 1, 0), ratio, points))
    return _table(("method", "processor seconds", "of released's", "own class against released's, points a seed"), rows)


def _feature_maps(name: str, methods: dict[str, dict[str, Any]]) -> list[str]:
    """The picture that the study of `released` leaves, if it was drawn."""
    return _picture(f"studies_{name}_feature_maps.png", "Feature maps, released") if "released" in methods else []


def _picture(file: str, words: str) -> list[str]:
    """Nothing where it was not drawn."""
    return [f"![{words}](images/{file})", ""] if (_IMAGES / file).is_file() else []


def _other_precision(settings: dict[str, Any]) -> str:
    """Nothing for float32; results of before there were others do not say."""
    precision = settings.get("precision", "float32")
    return "" if precision == "float32" else f", {precision}"


def _shares(methods: dict[str, dict[str, Any]]) -> str:
    """What the keep curves asked about, in percent. Areas over other shares cannot be compared."""
    tables = (run for result in methods.values() for run in result["raw"].values() if isinstance(run, dict))
    asked = {tuple(run["keep_curve"]["columns"]["share"]) for run in tables if "keep_curve" in run}
    return "; other methods: ".join(", ".join(f"{100 * share:g}" for share in shares) for shares in sorted(asked))


def section(results: Path) -> list[str]:
    """The lines of the page."""
    lines: list[str] = []
    for name, methods in networks(results).items():
        first = next(iter(methods.values()))
        given = first["settings"]
        lines += [
            f"### {name}",
            "",
            f"{given['search_images_per_class']} images a class, {given['passes']} passes, rate {given['rate']:g}"
            f"{_other_precision(given)}, seeds {', '.join(map(str, first['seeds']))}. {first['measured_on']}. "
            "In percent, mean ± deviation over seeds.",
            "",
            *_accuracies(methods),
            "",
            f"![Size, accuracy and false accepts](images/studies_{name}_overview.png)",
            "",
            f"![Accuracy on each class's own images](images/studies_{name}_accuracies.png)",
            "",
            f"![Channels used at each site](images/studies_{name}_usage.png)",
            "",
            f"{_deep(first)} Balanced accuracy with dropped channels set to zero, their mean, or another image's "
            f"values; areas under the keep curves over {_shares(methods)} % of the channels (kept: high is good; "
            "removed: low); share of the most active pixels on the class's image in mosaics, at the best site (25 at "
            "any one site by chance; the best of all sites of random masks is in the line `random`).",
            "",
            *_controls(methods),
            "",
            f"![Keep curves](images/studies_{name}_keep_curve.png)",
            "",
            f"![Hit rate](images/studies_{name}_hit_rate.png)",
            "",
            *_feature_maps(name, methods),
            "Similarity is Jaccard's, mean over sites. Mis. and Oth.: similarity to the labels that images are wrongly "
            "given, and to all others, in percent, mean over the classes that have both, with the p of a permutation "
            "of the class labels for each seed and the number of these classes: one whose images are wrongly given "
            f"every other label has no others. On JPEG images: {_deep(first).lower()}",
            "",
            *_relations(methods),
            "",
            f"![Similarity at each site](images/studies_{name}_similarity.png)",
            "",
            f"![Similarity of classes, clustered](images/studies_{name}_similarities.png)",
            "",
            *_picture(f"studies_{name}_misjudgements.png", "Labels wrongly given, and others"),
            *_seconds(methods),
            "",
        ]
    if not lines:
        return ["Not measured yet."]
    together = study_misjudgements.section(results)
    published = ["Beside it, the published misjudgements, in percent:", "", *PUBLISHED, ""]
    return [*lines, "### All networks", "", *together, *published, *_compared(results)]


def _deep(result: dict[str, Any]) -> str:
    """How many seeds the measures have that ask every row through many masks."""
    count = next((len(f["values"]) for name, f in result["figures"].items() if name.startswith("ablation")), 0)
    return "The first seed alone." if count == 1 else f"{count} seeds."


def _compared(results: Path) -> list[str]:
    compared = comparison(results)
    if not compared:
        return []
    names = list(dict.fromkeys(name for table in compared.values() for name in table["columns"]["network"]))
    top1: dict[str, float] = {}
    rows = []
    for method, table in compared.items():
        columns = table["columns"]
        figures = zip(columns["score"], columns["score_similarities"], columns["usage"], strict=True)
        found = dict(zip(columns["network"], figures, strict=True))
        top1 |= dict(zip(columns["network"], columns["top1"], strict=True))
        cells = (_two_scores(found[n]) if n in found else "-" for n in names)
        correlation, count = table["summary"]["rank_correlation"], len(found)
        rows.append((method, *cells, f"{correlation:+.2f} of {count}" if correlation and count > 2 else "-"))
    heads = (f"{name}, top-1 {100 * top1[name]:.1f} %" for name in names)
    return [
        "Interpretability of the first seed (1e-4, with mu of `a_i a_j M` and of `M`; channels kept in brackets) "
        "against top-1 accuracy, and the rank correlation of the first with it over networks; three or four networks "
        "prove nothing:",
        "",
        *_table(("method", *heads, "correlation"), rows),
        "",
        "![Interpretability against discriminability](images/studies_interpretability.png)",
    ]


def _two_scores(figures: tuple[float, float, float]) -> str:
    products, similarities, usage = figures
    return f"{1e4 * products:.2f}, {1e4 * similarities:.2f} ({usage:.0%})"


def comparison(results: Path) -> dict[str, Any]:
    """Interpretability against discriminability of all networks, by method."""
    file = results / "studies_interpretability.json"
    return json.loads(file.read_text())["raw"] if file.is_file() else {}
