"""Frozen tables."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pandas as pd
import pytest

from unweave.tables import Table


@pytest.fixture
def table():
    return Table(
        title="Accuracy, 24 images",
        columns={"name": ("cat", "<b>dog</b>"), "share": (0.5, float("nan")), "images": (np.int64(12), 0)},
        meanings={"share": "of images"},
        summary={"mean": 0.123456, "images": 24, "note": "by hand"},
    )


def test_table_is_frozen(table):
    with pytest.raises(dataclasses.FrozenInstanceError, match="title"):
        table.title = "other"
    for part in (table.columns, table.meanings, table.summary):
        with pytest.raises(TypeError, match="item assignment"):
            part["share"] = (1.0, 1.0)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda table: pickle.loads(pickle.dumps(table))])
def test_a_table_can_be_copied_and_sent(table, again):
    assert again(table).as_dict() == table.as_dict()


def test_columns_are_found_by_name(table):
    assert (len(table), table["name"]) == (2, ("cat", "<b>dog</b>"))
    with pytest.raises(KeyError, match="none"):
        table["none"]


def test_table_without_columns_is_empty():
    assert len(Table("nothing", {}, {})) == 0


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"columns differ in length: \{'a': 1, 'b': 2\}"):
        Table("wrong", {"a": (1,), "b": (1, 2)}, {})


def test_frame_is_a_copy(table):
    frame = table.to_frame()
    assert list(frame.columns) == ["name", "share", "images"]
    frame.loc[0, "name"] = "cow"
    assert table["name"][0] == "cat"


def test_dictionary_holds_plain_values_for_json(table):
    found = json.loads(json.dumps(table.as_dict(), allow_nan=False))
    assert found["columns"] == {"name": ["cat", "<b>dog</b>"], "share": [0.5, None], "images": [12, 0]}
    assert found["summary"] == {"mean": 0.123456, "images": 24, "note": "by hand"}
    assert (found["title"], found["meanings"]) == ("Accuracy, 24 images", {"share": "of images"})


def test_table_is_saved_as_csv_and_json(table, tmp_path):
    csv, file = table.save(tmp_path / "new" / "accuracy.v1")
    assert [csv.name, file.name] == ["accuracy.v1.csv", "accuracy.v1.json"]
    assert json.loads(file.read_text()) == table.as_dict()
    pd.testing.assert_frame_equal(pd.read_csv(csv), table.to_frame())
    assert sorted(path.name for path in csv.parent.iterdir()) == [csv.name, file.name]


def test_saving_twice_gives_the_same_bytes(table, tmp_path):
    before = [path.read_bytes() for path in table.save(tmp_path / "accuracy")]
    assert [path.read_bytes() for path in table.save(tmp_path / "accuracy")] == before


def test_text_begins_with_title_and_summary(table):
    title, *summary, head, _, _ = repr(table).splitlines()
    assert title == "Accuracy, 24 images"
    assert summary == ["  mean: 0.1235", "  images: 24", "  note: by hand"]
    assert head.split() == ["name", "share", "images"]


def test_long_tables_are_shown_short():
    table = Table("long", {"number": tuple(range(1000))}, {})
    assert len(repr(table).splitlines()) < 30
    assert table._repr_html_().count("<tr") < 40


def test_html_escapes_names(table):
    text = dataclasses.replace(table, title="<script>")._repr_html_()
    assert "<b>" not in text
    assert "<script>" not in text
    assert "&lt;b&gt;dog&lt;/b&gt;" in text
