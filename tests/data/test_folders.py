"""Image folders and how they are mapped to a network's outputs."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unweave.data.folders import ClassEntry, first_picture, image_folder, read_class_list
from unweave.data.labelled import labelled
from unweave.data.preprocessing import Preprocessing
from unweave.errors import DamagedImageError, DataError

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
    with pytest.raises(DataError, match=r"folder 'crane' names 2 classes \(1: n02, 3: n04\); name the folder"):
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
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(DataError, match="has no sub-folders; one folder a class is needed"):
        image_folder(tmp_path, RAW, 2)
    (tmp_path / "picture.png").touch()
    with pytest.raises(DataError, match="has images and no sub-folders; one folder a class is needed"):
        image_folder(tmp_path, RAW, 2)


def test_other_files_and_hidden_folders_are_left_out(pictures):
    folder = pictures(a=1, b=1)
    (folder / "a" / "notes.txt").write_text("not a picture")
    (folder / "a" / "._0.png").write_text("what some systems leave behind")
    for hidden in (folder / ".cache", folder / "a" / ".thumbnails"):
        hidden.mkdir()
        Image.new("L", (2, 2)).save(hidden / "0.png")
    assert len(image_folder(folder, RAW, 2)) == 2


def test_empty_class_folder_is_legal_and_said(pictures):
    with pytest.warns(UserWarning, match=r"^1 of 3 class folders have no images: 'b'$") as caught:
        data = image_folder(pictures(a=1, b=0, c=2), RAW, 3)
    assert [label for _, label in data.samples] == [0, 2, 2]
    assert data.classes == ["a", "b", "c"]
    assert labelled(data).classes == [0, 2]
    assert caught[0].filename == __file__


def test_no_more_than_three_empty_folders_are_named(pictures):
    with pytest.warns(UserWarning, match=r"4 of 5 class folders have no images: 'b', 'c', 'd', \.\.\.$"):
        assert len(image_folder(pictures(a=1, b=0, c=0, d=0, e=0), RAW, 5)) == 1


def test_empty_folder_of_a_class_list_is_said_too(pictures):
    with pytest.warns(UserWarning, match="1 of 2 class folders have no images: 'n01'"):
        assert image_folder(pictures(n01=0, drake=1), RAW, 4, CLASSES).samples[0][1] == 2


def test_class_names_of_any_script_are_kept(pictures):
    assert image_folder(pictures(海=1, ñandú=1), RAW, 2).classes == ["ñandú", "海"]


def test_folder_names_that_are_no_unicode_can_be_written_to_files(pictures):
    folder = pictures(a=1)
    strange = os.fsencode(folder) + b"/b\xff"
    os.mkdir(strange)
    shutil.copy(os.fsencode(folder / "a" / "0.png"), strange)
    data = image_folder(folder, RAW, 2)
    assert data.classes == ["a", "b\\xff"]
    assert data[1][1] == 1


def test_links_to_folders_and_images_are_followed(pictures, tmp_path):
    folder = pictures(a=1, b=1)
    (folder / "c").symlink_to(folder / "a")
    (folder / "b" / "1.png").symlink_to(folder / "a" / "0.png")
    assert [label for _, label in image_folder(folder, RAW, 3).samples] == [0, 1, 1, 2]


def test_loops_of_links_do_not_hang_or_mix_classes(pictures):
    folder = pictures(a=1, b=1)
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "here").symlink_to(folder / "a")
    (folder / "a" / "self").symlink_to("self")
    (folder / "b" / "deeper").mkdir()
    (folder / "b" / "deeper" / "again").symlink_to(folder / "b" / "deeper")
    assert [label for _, label in image_folder(folder, RAW, 2).samples] == [0, 1]


def test_broken_link_to_an_image_is_a_damaged_image(pictures):
    folder = pictures(a=1)
    (folder / "a" / "1.png").symlink_to("gone.png")
    data = labelled(image_folder(folder, RAW, 1))
    (batch,) = data.batches([np.arange(2)])
    assert (batch.positions.tolist(), [d.position for d in batch.damaged]) == ([0], [1])


def test_folder_without_permission_is_refused_on_one_line(pictures, monkeypatch):
    folder, scandir = pictures(a=1, b=1), os.scandir

    def guarded(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(DataError, match=r"folder .*b cannot be read \(Permission denied\)$"):
        image_folder(folder, RAW, 2)


def test_files_are_listed_without_a_look_at_each(pictures, monkeypatch):
    folder, looked, stat = pictures(a=5, b=5), [], os.stat

    def counted(path, **options):
        looked.append(str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", counted)
    assert len(image_folder(folder, RAW, 2)) == 10
    assert not [path for path in looked if path.endswith(".png")]


def test_order_is_that_of_the_paths_parts(pictures):
    folder = pictures(a=0)
    for name in ("b-c", "b"):
        (folder / "a" / name).mkdir()
        Image.new("L", (2, 2)).save(folder / "a" / name / "0.png")
    files = [Path(file) for file, _ in image_folder(folder, RAW, 1).samples]
    assert files == sorted(files)
    assert [file.parent.name for file in files] == ["b", "b-c"]


def test_first_picture_that_can_be_read_is_found(pictures):
    folder = pictures(a=2, b=1)
    (folder / "a" / "0.png").write_bytes(b"broken")
    assert torch.equal(first_picture(folder, RAW), torch.full((3, 2, 2), 1.0))
    (folder / "a" / "1.png").write_bytes(b"broken")
    (folder / "b" / "0.png").unlink()
    with pytest.raises(DataError, match=r"the first 2 images below .* are damaged; the first: .*0.png cannot be read"):
        first_picture(folder, RAW)


def test_first_picture_of_no_images_is_refused(pictures):
    with pytest.raises(DataError, match="no images below"):
        first_picture(pictures(a=0), RAW)


def test_images_further_down_and_in_capitals_are_found(pictures):
    folder = pictures(a=1, b=1)
    (folder / "a" / "deeper").mkdir()
    Image.new("L", (2, 2)).save(folder / "a" / "deeper" / "9.JPG")
    assert [label for _, label in image_folder(folder, RAW, 2).samples] == [0, 0, 1]


def test_file_that_is_no_picture_is_named_when_it_is_read(pictures):
    folder = pictures(a=1, b=1)
    (folder / "b" / "0.png").write_bytes(b"broken")
    data = image_folder(folder, RAW, 2)
    with pytest.raises(DamagedImageError, match=r"0.png cannot be read as an image \(not a picture in a known format"):
        data[1]


def test_real_folders_are_mapped_by_the_real_class_list(real_data):
    entries = read_class_list(real_data / "data" / "imagenet_classes.json")
    data = image_folder(real_data / "data" / "imagenette" / "val", Preprocessing("unit", 64), 1000, entries)
    labels = sorted({label for _, label in data.samples})
    assert labels == [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]
    assert data[0][0].shape == (3, 64, 64)


PLACES = [ClassEntry(0, "", "airfield"), ClassEntry(1, "", "arena/hockey"), ClassEntry(2, "", "arena/rodeo")]


@pytest.mark.parametrize(
    "names", [("a/airfield", "a/arena/hockey", "a/arena/rodeo"), ("airfield", "arena-hockey", "2")]
)
def test_class_names_that_are_paths_are_folders_in_folders_or_one_folder_each(tmp_path, names):
    for k, name in enumerate(names):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (2, 2), (k, k, k)).save(tmp_path / name / "0.png")
    data = image_folder(tmp_path, RAW, 3, PLACES)
    assert sorted((int(image[0, 0, 0]), label) for image, label in data) == [(0, 0), (1, 1), (2, 2)]
    assert data.classes == ["airfield", "arena/hockey", "arena/rodeo"]


def test_folder_that_no_path_of_the_class_list_leads_to_is_named(tmp_path):
    (tmp_path / "a" / "bakery").mkdir(parents=True)
    with pytest.raises(DataError, match="folder 'a' is no WordNet id, name or index"):
        image_folder(tmp_path, RAW, 3, PLACES)
