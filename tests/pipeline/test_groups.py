"""Groups and hierarchies from files."""

import json

import numpy as np
import pytest

from tests.paths.made import make, sites_of
from unweave.errors import DataError
from unweave.paths import Rows
from unweave.pipeline.groups import distances_of, groups_of

PATHS = make(Rows.of_classes([0, 3, 7, 9], ["cat", "a/dog", "5", "<b>ship</b>"]), sites_of(5))
CIFAR = make(Rows.of_classes([0, 3, 9], ["airplane", "cat", "truck"]), sites_of(5))


def written(tmp_path, text, name="groups"):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_a_json_file_names_rows_or_class_indices(tmp_path):
    spec = written(tmp_path, json.dumps({"animals": ["cat", 3], "others": ["5", "9"]}))
    # "5" is the name of class 7; no row is named "9", so it is an index.
    assert groups_of(spec, PATHS) == {"animals": [0, 3], "others": [7, 9]}


def test_a_csv_file_has_a_class_and_its_group_a_line(tmp_path):
    text = 'class,group\ncat,animals\na/dog,animals\n\n"<b>ship</b>","things, all"\n'
    assert groups_of(written(tmp_path, text), PATHS) == {"animals": [0, 3], "things, all": [9]}


def test_classes_without_a_row_are_passed_over_and_said(tmp_path):
    spec = written(tmp_path, json.dumps({"animals": ["cat", "cow", 88], "plants": ["oak"]}))
    with pytest.warns(UserWarning, match=r"3 classes have no row \(cow, 88, oak\)"):
        assert groups_of(spec, PATHS) == {"animals": [0]}


def test_cifar_s_animals_and_vehicles_are_built_in():
    expected = {"animals": [3], "vehicles": [0, 9]}
    assert groups_of(None, CIFAR) == expected
    with pytest.warns(UserWarning, match="7 classes have no row"):
        assert groups_of("cifar10", CIFAR) == expected
    assert groups_of(None, PATHS) is None
    assert groups_of(None, CIFAR.select([0, 2])) is None  # vehicles alone


def test_rows_that_are_groups_themselves_go_by_name(tmp_path):
    rows = Rows.of_groups([(0, 1), (2, 3), (4,)], [()] * 3, ["low", "high", "four"])
    spec = written(tmp_path, "low,x\nhigh,y\nfour,y\n")
    assert groups_of(spec, make(rows, sites_of(5))) == {"x": ["low"], "y": ["high", 4]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", 'must hold an object of {"group": '),
        ("{}", 'must hold an object of {"group": '),
        ('{"a": "cat"}', 'must hold an object of {"group": '),
        ('{"a": [true]}', 'must hold an object of {"group": '),
        ("cat,animals,more\n", "line 1: a class and its group are needed"),
        ("cat,\n", "line 1: a class and its group are needed"),
        ("\n", "names no groups"),
        ("cow,animals\n", "none of its classes has a row; the rows are cat, a/dog, 5, <b>ship</b>"),
    ],
)
def test_files_that_hold_no_groups_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        groups_of(written(tmp_path, text), PATHS)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="gone cannot be read"):
        groups_of(str(tmp_path / "gone"), PATHS)


def test_distances_take_the_ids_of_the_class_list_or_the_rows_names(tmp_path):
    tree = written(tmp_path, "n1 n2\nn1 n3\nn3 n4\n", "is_a.txt")
    listed = [{"index": i, "wnid": w, "name": "x"} for i, w in ((0, "n2"), (3, "n4"), (7, ""))]
    classes = written(tmp_path, json.dumps(listed), "classes.json")
    found = distances_of(tree, PATHS, classes)
    assert found[0, 1] == 3
    assert np.isnan(found[2, :2]).all()
    named = make(Rows.of_classes([0, 1], ["n2", "n3"]), sites_of(5))
    assert distances_of(tree, named, None).tolist() == [[0, 2], [2, 0]]
