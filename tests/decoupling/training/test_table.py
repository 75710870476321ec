"""What a checkpoint says of its epochs is believed if it can be that."""

import copy

import pytest

from unweave.decoupling.training.table import are_notes, training_table

ROW = {
    "epoch": 1,
    "rate": 0.1,
    "loss": 2.0,
    "cross_entropy": 1.5,
    "mutual_information": 1.0,
    "divergence": 0.5,
    "sparsity": 3.0,
    "train_accuracy": 0.5,
    "gates_in_training": 0.75,
    "validation_accuracy": None,
    "gates_open": None,
}
NOTES = {"epochs": [ROW, {**ROW, "epoch": 2, "validation_accuracy": 0.5}], "original_accuracy": 0.9, "summary": None}


def changed(change):
    notes = copy.deepcopy(NOTES)
    change(notes)
    return notes


def test_notes_of_a_training_are_taken():
    assert are_notes(NOTES)
    assert are_notes({"epochs": [], "original_accuracy": None, "summary": None})


@pytest.mark.parametrize(
    "notes",
    [
        None,
        [],
        {},
        {"epochs": 3},
        changed(lambda notes: notes["epochs"].append(3)),
        changed(lambda notes: notes["epochs"][0].pop("gates_open")),
        changed(lambda notes: notes["epochs"][0].update(loss=None)),
        changed(lambda notes: notes["epochs"][1].update(rate="fast")),
        changed(lambda notes: notes["epochs"][1].update(rate=True)),
        changed(lambda notes: notes.update(original_accuracy="high")),
        changed(lambda notes: notes.update(summary={"accuracy": 0.5})),
    ],
)
def test_other_notes_are_not(notes):
    assert not are_notes(notes)


def test_columns_without_any_figure_are_left_out():
    table = training_table({**NOTES, "epochs": [ROW], "summary": {"accuracy": 0.5}}, "training")
    assert "validation_accuracy" not in table.columns
    assert table["loss"] == (2.0,)
    assert table.summary == {"accuracy": 0.5, "measured_on": "training"}
