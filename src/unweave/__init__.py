"""unweave: take a trained neural network apart into the parts that make each decision."""

import importlib
from typing import Any

_WHERE = {
    "DecoupledNetwork": "unweave.decoupling.network",
    "FitSettings": "unweave.decoupling.training.settings",
    "Paths": "unweave.paths",
    "PublishedSettings": "unweave.search.published",
    "Rows": "unweave.paths",
    "Site": "unweave.network.sites",
    "Sites": "unweave.network.sites",
    "Table": "unweave.tables",
    "UnweaveError": "unweave.errors",
    "ablation": "unweave.analysis.ablation",
    "accuracy": "unweave.analysis.accuracy",
    "accuracy_histogram": "unweave.analysis.accuracy",
    "cluster": "unweave.analysis.clusters",
    "compare_interpretability": "unweave.analysis.interpretability",
    "attribute": "unweave.search.attribute",
    "decouple": "unweave.decoupling.network",
    "disentangle": "unweave.search.disentangle",
    "embedding": "unweave.analysis.embedding",
    "exciting_images": "unweave.analysis.exciting",
    "extract": "unweave.surgery.extract",
    "extraction_cost": "unweave.surgery.cost",
    "feature_maps": "unweave.analysis.feature_maps",
    "filter_states": "unweave.analysis.states",
    "find_sites": "unweave.network.sites",
    "fit": "unweave.decoupling.training.fit",
    "hit_rate": "unweave.analysis.hit_rate",
    "interpretability": "unweave.analysis.interpretability",
    "keep_curve": "unweave.analysis.keep_curve",
    "load_decoupled": "unweave.decoupling.format",
    "load_extracted": "unweave.surgery.file",
    "report": "unweave.pipeline.report",
    "misjudgements": "unweave.analysis.misjudgements",
    "plant": "unweave.planted.planting",
    "published_settings": "unweave.search.published",
    "restrict": "unweave.paths.restrict",
    "route": "unweave.search.route",
    "score_paths": "unweave.planted.scoring",
    "similarity": "unweave.analysis.similarity",
    "specificity": "unweave.analysis.specificity",
    "stability": "unweave.analysis.stability",
    "teach_operation": "unweave.network.teaching",
    "usage": "unweave.analysis.usage",
    "wordnet_distances": "unweave.analysis.wordnet",
}

__all__ = sorted(_WHERE)  # noqa: PLE0605 (a list of names, made from the table above)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("unweave")
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"unweave has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
