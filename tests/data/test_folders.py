"""Image folders and how they are mapped to a network's outputs."""

import json

import pytest
import torch
from PIL import Image

from unweave.data.folders import ClassEntry, image_folder, read_class_list
from unweave.data.labelled import labelled
from unweave.data.preprocessing import Preprocessing
from unweave.errors import DataError

RAW = Preprocessing("raw")
CLASSES = [
    ClassEntry(0, "n01", "tench"),
    ClassEntry(1, "n02", "crane"),
    ClassEntry(2, "n03", "drake"),
    ClassEntry(3, "n04", "crane"),
]


@pytest.fixture
def pictures(tmp_path):
    """Makes folders with so many 2 x 2 pictures; the k-th of a folder has all pixels k."""

    def write(**folders):
        for name, count in folders.items():
            (tmp_path / name).mkdir()
            for k in range(count):
                Image.new("RGB", (2, 2), (k, k, k)).save(tmp_path / name / f"{k}.png")
        return tmp_path

    return write


def test_folders_in_sorted_order_are_the_outputs(pictures):
    data = image_folder(pictures(b=1, a=2, c=1), RAW, 3)
    assert [label for _, label in data.samples] == [0, 0, 1, 2]
    assert data.classes == ["a", "b", "c"]
    image, label = data[1]
    assert torch.equal(image, torch.full((3, 2, 2), 1.0))
    assert (label, len(data)) == (0, 4)
    found = labelled(data)
    assert (found.labels.tolist(), found.name_of(2)) == ([0, 0, 1, 2], "c")


@pytest.mark.parametrize("outputs", [1, 3, 1000])
def test_another_number_of_folders_than_outputs_asks_for_a_class_list(pictures, outputs):
    with pytest.raises(DataError, match=f"has 2 class folders, the network {outputs} outputs; give a class list"):
        image_folder(pictures(a=1, b=1), RAW, outputs)


@pytest.mark.parametrize(("name", "output"), [("n03", 2), ("tench", 0), ("drake", 2), ("1", 1), ("n04", 3), ("3", 3)])
def test_class_list_maps_by_wordnet_id_name_and_index(pictures, name, output):
    data = image_folder(pictures(**{name: 2}), RAW, 4, CLASSES)
    assert [label for _, label in data.samples] == [output, output]
    assert data.classes == ["tench", "crane", "drake", "crane"]


def test_part_of_the_classes_will_do(pictures):
    data = image_folder(pictures(drake=1, n01=2), RAW, 1000, CLASSES)
    assert [label for _, label in data.samples] == [2, 0, 0]
    assert data.classes[:5] == ["tench", "crane", "drake", "crane", "4"]
    assert len(data.classes) == 1000


def test_ambiguous_name_asks_for_the_index(pictures):
    with pytest.raises(DataError, match=r"folder 'crane' names 2 classes \(\[1, 3\]\); name the folder by its index"):
        image_folder(pictures(crane=1), RAW, 4, CLASSES)


@pytest.mark.parametrize("name", ["pike", "4", "n9", "Tench"])
def test_folder_that_is_in_no_class_list_is_refused(pictures, name):
    with pytest.raises(DataError, match=f"folder '{name}' is no WordNet id, name or index"):
        image_folder(pictures(**{name: 1}), RAW, 4, CLASSES)


@pytest.mark.parametrize("outputs", [2, 3])
def test_class_beyond_the_networks_outputs_is_refused(pictures, outputs):
    with pytest.raises(DataError, match=f"folder 'n04' is output 3 in the class list, the network has {outputs}"):
        image_folder(pictures(n04=1), RAW, outputs, CLASSES)


def test_folders_without_images_are_refused(pictures):
    with pytest.raises(DataError, match="no images below"):
        image_folder(pictures(a=0, b=0), RAW, 2)


def test_missing_folder_and_folder_without_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*missing"):
        image_folder(tmp_path / "missing", RAW, 2)
    (tmp_path / "picture.png").touch()
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(DataError, match="has no sub-folders; one folder a class is needed"):
        image_folder(tmp_path, RAW, 2)


def test_other_files_and_hidden_folders_are_left_out(pictures):
    folder = pictures(a=1, b=1)
    (folder / "a" / "notes.txt").write_text("not a picture")
    (folder / ".cache").mkdir()
    assert len(image_folder(folder, RAW, 2)) == 2


def test_images_further_down_and_in_capitals_are_found(pictures):
    folder = pictures(a=1, b=1)
    (folder / "a" / "deeper").mkdir()
    Image.new("L", (2, 2)).save(folder / "a" / "deeper" / "9.JPG")
    assert [label for _, label in image_folder(folder, RAW, 2).samples] == [0, 0, 1]


def test_file_that_is_no_picture_is_named_when_it_is_read(pictures):
    folder = pictures(a=1, b=1)
    (folder / "b" / "0.png").write_bytes(b"broken")
    data = image_folder(folder, RAW, 2)
    with pytest.raises(DataError, match=r"0.png cannot be read as an image"):
        data[1]


def test_class_list_is_read_from_json(tmp_path):
    file = tmp_path / "classes.json"
    entries = [{"index": 0, "wnid": "n01", "name": "tench"}, {"index": 1, "name": "海"}]
    file.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    assert read_class_list(file) == [ClassEntry(0, "n01", "tench"), ClassEntry(1, "", "海")]


@pytest.mark.parametrize(
    "text", ["{", "3", '{"0": "tench"}', '[{"index": 0}]', '["tench"]', '[{"index": "a", "name": 1}]']
)
def test_class_list_of_another_form_is_refused(tmp_path, text):
    file = tmp_path / "classes.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"classes.json is not a JSON list of \{index, wnid, name\}"):
        read_class_list(file)


def test_missing_class_list_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"class list .*none.json cannot be read"):
        read_class_list(tmp_path / "none.json")


def test_real_folders_are_mapped_by_the_real_class_list(real_data):
    entries = read_class_list(real_data / "data" / "imagenet_classes.json")
    data = image_folder(real_data / "data" / "imagenette" / "val", Preprocessing("unit", 64), 1000, entries)
    labels = sorted({label for _, label in data.samples})
    assert labels == [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]
    assert data[0][0].shape == (3, 64, 64)
