"""The figures of a training as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from unweave.tables import Table

_MEANINGS = {
    "epoch": "counted from 1",
    "rate": "learning rate",
    "loss": "what was minimised: cross entropy and the weighted terms, mean over training images",
    "cross_entropy": "nats, mean over training images",
    "mutual_information": "sum over layers of the cross entropy of class and gates, nats, not weighted",
    "divergence": "sum over layers of KL(gates || responses), nats, not weighted",
    "sparsity": "sum over layers of | gates - keep x filters |, in filters, not weighted",
    "train_accuracy": "share of training images, with noise and soft gates as in training",
    "gates_in_training": "mean gate in training, soft ones included",
    "validation_accuracy": "share of validation images, in evaluation",
    "gates_open": "share of the controlled layers' filters that are selected, mean over validation images",
}


_OFTEN_NONE = ("validation_accuracy", "gates_open")
"""Without validation images."""
_SUMMARY = (
    "original_accuracy", "accuracy", "gates_open", "multiply_accumulates", "multiply_accumulates_spread",
    "original_multiply_accumulates", "images", "images_with_an_empty_layer", "damaged_images",
)  # fmt: skip


def are_notes(notes: Any) -> TypeGuard[dict[str, Any]]:
    """Whether these are what a training notes: figures of its epochs, the original's accuracy, and, once it has ended,
    a summary."""
    if not isinstance(notes, dict) or not isinstance(notes.get("epochs"), list):
        return False
    summary, original = notes.get("summary"), notes.get("original_accuracy")
    whole = summary is None or (isinstance(summary, dict) and summary.keys() >= set(_SUMMARY) and _figures(summary))
    return whole and (original is None or _figures({"": original})) and all(map(_is_row, notes["epochs"]))


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or row.keys() != _MEANINGS.keys():
        return False
    return _figures({name: value for name, value in row.items() if value is not None or name not in _OFTEN_NONE})


def _figures(values: Mapping[str, Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values())


def training_table(notes: Mapping[str, Any], measured: str) -> Table:
    """One row an epoch. `measured`: which images the summary is about."""
    rows = notes["epochs"]
    columns = {
        name: tuple(math.nan if row[name] is None else row[name] for row in rows)
        for name in _MEANINGS
        if any(row[name] is not None for row in rows)
    }
    meanings = {name: text for name, text in _MEANINGS.items() if name in columns}
    title = f"Training of a decoupled network, {len(rows)} epochs; summary on the {measured} images"
    return Table(title, columns, meanings, {**notes["summary"], "measured_on": measured})
