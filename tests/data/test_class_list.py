"""Class files, and which output a class folder's name means."""

import json

import pytest

from unweave.data.class_list import ClassEntry, FolderNames, names_of, read_class_list
from unweave.errors import DataError


def _written(tmp_path, content):
    file = tmp_path / "classes.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_class_list_is_read_from_json(tmp_path):
    entries = [{"index": 0, "wnid": "n01", "name": "tench"}, {"index": 1, "name": "海"}]
    file = _written(tmp_path, json.dumps(entries, ensure_ascii=False))
    assert read_class_list(str(file)) == [ClassEntry(0, "n01", "tench"), ClassEntry(1, "", "海")]


def test_byte_order_mark_at_the_beginning_is_accepted(tmp_path):
    file = _written(tmp_path, b"\xef\xbb\xbf" + b'[{"index": 0, "name": "tench"}]')
    assert read_class_list(file) == [ClassEntry(0, "", "tench")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Expecting property name"),
        ("", "Expecting value"),
        ("3", "it holds one int"),
        ("null", "it holds one NoneType"),
        ("[]", "it holds no entries"),
        ('{"0": "tench"}', "it holds one dict"),
        ('["tench"]', r'entry 1: "tench" where \{index, wnid, name\} is needed'),
        ('[{"index": 0, "name": "a"}, {"name": "b"}]', "entry 2: it has no 'index'"),
        ('[{"index": 0}]', "entry 1: it has no 'name'"),
        ('[{"index": -1, "name": "a"}]', "entry 1: its index is -1, a whole number from 0 is needed"),
        ('[{"index": "0", "name": "a"}]', 'entry 1: its index is "0"'),
        ('[{"index": 0.0, "name": "a"}]', "entry 1: its index is 0.0"),
        ('[{"index": true, "name": "a"}]', "entry 1: its index is true"),
        ('[{"index": NaN, "name": "a"}]', "NaN is no JSON number"),
        ('[{"index": 1e999, "name": "a"}]', "entry 1: its index is Infinity"),
        ('[{"index": 0, "name": 5}]', "entry 1: its name is 5, text is needed"),
        ('[{"index": 0, "name": "a", "wnid": []}]', r"entry 1: its wnid is \[\], text is needed"),
        ('[{"index": 0, "name": "\\ud800"}]', "entry 1: its name is .*ud800"),
        ('[{"index": 4, "name": "a"}, {"index": 4, "name": "b"}]', "entry 2: its index 4 is that of entry 1"),
        (f'[{{"index": {"9" * 5000}, "name": "a"}}]', "Exceeds the limit"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"index":' * 100_000, "it is nested too deeply"),
        (b"[\xff\xfe]", "'utf-8' codec can't decode"),
        (b"\x80\x04\x95\x10", "'utf-8' codec can't decode"),
    ],
)
def test_class_list_of_another_form_is_refused_on_one_line(tmp_path, content, reason):
    with pytest.raises(DataError, match=rf"classes.json is not a JSON list of \{{.*\}} \({reason}") as caught:
        read_class_list(_written(tmp_path, content))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_missing_class_list_and_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"class list .*none.json cannot be read \(No such file"):
        read_class_list(tmp_path / "none.json")
    with pytest.raises(DataError, match=r"class list .* cannot be read \(it is no regular file"):
        read_class_list(tmp_path)


def test_categories_of_places365_are_read_as_published(tmp_path):
    file = tmp_path / "categories_places365.txt"
    file.write_text("/a/airfield 0\n/a/apartment_building/outdoor 1\n\n/b/balcony/exterior 2\n")
    entries = read_class_list(file)
    assert [entry.name for entry in entries] == ["airfield", "apartment_building/outdoor", "balcony/exterior"]
    found = FolderNames(entries).outputs_of(["balcony-exterior", "airfield", "apartment_building-outdoor"])
    assert found == [2, 0, 1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("airfield 0\n", 'a line is "airfield 0"'),
        ("/a/airfield\n", 'a line is "/a/airfield"'),
        ("/a/airfield -1\n", 'a line is "/a/airfield -1"'),
        ("/a/airfield 3\n/a/alley 3\n", "entry 2: its index 3 is that of entry 1"),
        ("", "it holds no entries"),
    ],
)
def test_lines_of_another_form_are_refused(tmp_path, content, reason):
    file = tmp_path / "categories.txt"
    file.write_text(content)
    with pytest.raises(DataError, match=f"is not a list of lines /letter/name index .{reason}"):
        read_class_list(file)


def test_imagenet_s_names_are_those_of_torchvision_s_weights():
    entries = read_class_list("imagenet")
    assert [entry.index for entry in entries] == list(range(1000))
    assert (entries[0].name, entries[8].name, entries[999].name) == ("tench", "hen", "toilet tissue")


def test_all_folders_of_imagenet_are_the_outputs_in_order_where_the_list_has_no_ids():
    names = FolderNames([ClassEntry(1, "", "goldfish"), ClassEntry(0, "", "tench")])
    assert names.outputs_of(["n01440764", "n01443537"]) == [0, 1]
    with pytest.raises(DataError, match="folder 'n01440764' is no WordNet id"):
        names.outputs_of(["n01440764"])  # a part of them says nothing of the order
    with pytest.raises(DataError, match="folder 'trout' is no WordNet id"):
        names.outputs_of(["goldfish", "trout"])


def test_a_list_with_ids_is_asked_for_every_folder():
    names = FolderNames([ClassEntry(0, "n01443537", "goldfish"), ClassEntry(1, "n01440764", "tench")])
    assert names.outputs_of(["n01440764", "n01443537"]) == [1, 0]


def test_an_ambiguous_name_is_answered_with_indices_and_wordnet_ids():
    names = FolderNames([ClassEntry(1, "n02", "crane"), ClassEntry(3, "n04", "crane"), ClassEntry(5, "", "crane")])
    with pytest.raises(DataError, match=r"'crane' names 3 classes \(1: n02, 3: n04, 5: no WordNet id\); name"):
        names.output_of("crane")
    assert [names.output_of(name) for name in ("n02", "n04", "5")] == [1, 3, 5]


def test_names_come_before_indices():
    names = FolderNames([ClassEntry(0, "", "1"), ClassEntry(1, "", "two")])
    assert (names.output_of("1"), names.output_of("0")) == (0, 0)


def test_an_entry_without_a_wordnet_id_does_not_match_an_empty_name():
    with pytest.raises(DataError, match="folder '' is no WordNet id, name or index"):
        FolderNames([ClassEntry(0, "", "tench")]).output_of("")


def test_outputs_without_an_entry_are_named_by_index():
    assert names_of([ClassEntry(2, "", "drake"), ClassEntry(9, "", "far")], 4) == ["0", "1", "drake", "3"]


def test_an_object_of_indices_is_a_class_list_too(tmp_path):
    file = tmp_path / "imagenet_class_index.json"
    file.write_text('{"0": ["n01440764", "tench"], "7": ["n01514668", "cock"]}')
    assert read_class_list(file) == [ClassEntry(0, "n01440764", "tench"), ClassEntry(7, "n01514668", "cock")]


@pytest.mark.parametrize("text", ['{"0": ["n01", "tench", 3]}', '{"x": ["n01", "tench"]}', '{"0": "tench"}', "{}"])
def test_other_objects_are_not(tmp_path, text):
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(DataError, match="is not a JSON list"):
        read_class_list(tmp_path / "file.json")
