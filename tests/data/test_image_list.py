"""Image lists: a path and a class on every line."""

import pytest
import torch
from PIL import Image

from unweave.data.class_list import ClassEntry
from unweave.data.image_list import image_list
from unweave.data.labelled import labelled
from unweave.data.preprocessing import Preprocessing
from unweave.errors import DataError

RAW = Preprocessing("raw")
CLASSES = [ClassEntry(0, "n01", "tench"), ClassEntry(1, "n02", "crane"), ClassEntry(2, "n03", "drake/wild")]


@pytest.fixture
def folder(tmp_path):
    """Pictures `0.png` and `1.png`, all of whose pixels are their number, and `in/a b.png` with pixels 2."""
    (tmp_path / "in").mkdir()
    for k, name in enumerate(("0.png", "1.png", "in/a b.png")):
        Image.new("RGB", (2, 2), (k, k, k)).save(tmp_path / name)
    return tmp_path


def listed(folder, text, **others):
    file = folder / "list.txt"
    file.write_text(text)
    return image_list(file, RAW, **others)


def test_lines_are_images_and_their_classes(folder):
    data = listed(folder, "1.png 5\n\n/in/a b.png 0\n0.png 5\n")
    assert [int(image[0, 0, 0]) for image, _ in data] == [1, 2, 0]
    assert labelled(data).labels.tolist() == [5, 0, 5]
    assert labelled(data).name_of(5) == "5"


def test_classes_are_named_by_wordnet_id_and_name_where_a_class_list_knows_them(folder):
    data = listed(folder, "0.png n02\n1.png drake-wild\nin/a b.png 0", class_list=CLASSES)
    assert labelled(data).labels.tolist() == [1, 2, 0]
    assert data.classes == ["tench", "crane", "drake/wild"]


def test_paths_are_below_the_root(folder):
    data = listed(folder, "a b.png 1", root=folder / "in")
    assert torch.equal(data[0][0], torch.full((3, 2, 2), 2.0))


def test_image_that_is_not_there_counts_as_damaged(folder):
    (batch,) = labelled(listed(folder, "0.png 0\ngone.png 1")).batches([[0, 1]])
    assert batch.positions.tolist() == [0]
    assert "gone.png cannot be read" in batch.damaged[0].reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no images"),
        ("0.png 0\n1.png", r"list.txt, line 2: '1.png' is not an image's path, a space, and an output's index$"),
        ("0.png tench", "line 1: '0.png tench' is not"),
        ("0.png -1", "line 1"),
        ("0.png ²", "line 1"),
        ("9" * 200, r"line 1: '9{80}\.\.\.' is not"),
        ("gone.png 0", r"lists gone.png, which is not below .*; say where: imagelist:FILE:FOLDER"),
    ],
)
def test_lists_that_cannot_be_used_are_refused_by_line(folder, text, message):
    with pytest.raises(DataError, match=message):
        listed(folder, text)


def test_unknown_class_name_is_refused(folder):
    with pytest.raises(DataError, match=r"line 1: .* and an output's index, WordNet id or class name"):
        listed(folder, "0.png goldfish", class_list=CLASSES)


def test_file_that_cannot_be_read_is_refused(folder):
    with pytest.raises(DataError, match=r"image list .*none.txt cannot be read"):
        image_list(folder / "none.txt", RAW)
    (folder / "list.txt").write_bytes(b"\xff\xfe\xff 0")
    with pytest.raises(DataError, match="cannot be read"):
        image_list(folder / "list.txt", RAW)
