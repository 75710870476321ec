"""CIFAR in torchvision's files and in sheets of tiles, both written here."""

import hashlib
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets

from unweave.data.cifar import CIFAR10_CLASSES, cifar
from unweave.data.labelled import labelled
from unweave.data.preprocessing import Preprocessing
from unweave.errors import DataError
from unweave.zoo.models import load_model

RAW = Preprocessing("raw")


def _pictures(count, seed=0):
    """`[count, 32, 32, 3]` bytes of noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def _pickled(file, value):
    """Write `value` as CIFAR's authors did; returns the checksum that torchvision asks for."""
    file.parent.mkdir(exist_ok=True)
    content = pickle.dumps(value)
    file.write_bytes(content)
    return [file.name, hashlib.md5(content).hexdigest()]


def _batch(pictures, labels, key):
    return {"data": pictures.transpose(0, 3, 1, 2).reshape(len(pictures), -1), key: labels}


@pytest.fixture
def cifar10_files(tmp_path, monkeypatch):
    """Five training batches of four pictures, one test batch of three; labels are 0, 1, 2, ..."""
    folder, pictures = tmp_path / "cifar-10-batches-py", _pictures(20)
    train = [
        _pickled(folder / f"data_batch_{i + 1}", _batch(pictures[4 * i : 4 * i + 4], [4 * i % 10] * 4, "labels"))
        for i in range(5)
    ]
    test = [_pickled(folder / "test_batch", _batch(_pictures(3, 1), [7, 8, 9], "labels"))]
    meta = _pickled(folder / "batches.meta", {"label_names": list(CIFAR10_CLASSES)})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", test)
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    return tmp_path


@pytest.fixture
def cifar100_files(tmp_path, monkeypatch):
    folder, names = tmp_path / "cifar-100-python", [f"fine {i}" for i in range(100)]
    train = [_pickled(folder / "train", _batch(_pictures(4), [0, 99, 5, 5], "fine_labels"))]
    test = [_pickled(folder / "test", _batch(_pictures(2, 1), [3, 4], "fine_labels"))]
    meta = _pickled(folder / "meta", {"fine_label_names": names})
    monkeypatch.setattr(datasets.CIFAR100, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR100, "test_list", test)
    monkeypatch.setattr(datasets.CIFAR100, "meta", {"filename": meta[0], "key": "fine_label_names", "md5": meta[1]})
    return tmp_path


def _sheet(pictures, columns):
    rows = len(pictures) // columns
    return pictures.reshape(rows, columns, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(rows * 32, columns * 32, 3)


@pytest.fixture
def sheets(tmp_path):
    """Two lossless training sheets of 2 x 3 tiles, one test sheet of 1 x 2."""
    pictures = _pictures(14)
    Image.fromarray(_sheet(pictures[:6], 3)).save(tmp_path / "train_00.png")
    Image.fromarray(_sheet(pictures[6:12], 3)).save(tmp_path / "train_01.webp", lossless=True, exact=True)
    Image.fromarray(_sheet(pictures[12:], 2)).save(tmp_path / "test_00.webp", lossless=True, exact=True)
    np.save(tmp_path / "train_labels.npy", np.arange(12, dtype=np.uint8) % 10)
    np.save(tmp_path / "test_labels.npy", np.array([4, 2], dtype=np.uint8))
    return tmp_path


def _all(data):
    return torch.stack([data[i][0] for i in range(len(data))]).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-py"])
def test_torchvisions_files_are_read_from_either_folder(cifar10_files, inner):
    train = cifar(cifar10_files / inner, "cifar10", True, RAW)
    assert np.array_equal(_all(train), _pictures(20))
    assert train.targets.tolist() == [0] * 4 + [4] * 4 + [8] * 4 + [2] * 4 + [6] * 4
    assert tuple(train.classes) == CIFAR10_CLASSES
    test = cifar(str(cifar10_files / inner), "cifar10", False, RAW)
    assert np.array_equal(_all(test), _pictures(3, 1))
    assert [label for _, label in (test[i] for i in range(3))] == [7, 8, 9]


@pytest.mark.parametrize("inner", ["", "cifar-100-python"])
def test_cifar100_has_its_fine_labels(cifar100_files, inner):
    train = cifar(cifar100_files / inner, "cifar100", True, RAW)
    assert (train.targets.tolist(), len(train.classes), train.classes[99]) == ([0, 99, 5, 5], 100, "fine 99")
    assert np.array_equal(_all(train), _pictures(4))
    assert cifar(cifar100_files / inner, "cifar100", False, RAW).targets.tolist() == [3, 4]


def test_sheets_are_read_row_by_row(sheets):
    train, test = (cifar(sheets, "cifar10", part, RAW) for part in (True, False))
    assert np.array_equal(_all(train), _pictures(14)[:12])
    assert np.array_equal(_all(test), _pictures(14)[12:])
    assert train.targets.tolist() == [*range(10), 0, 1]
    assert test.targets.tolist() == [4, 2]


def test_labels_and_names_are_known_without_reading_images(sheets, monkeypatch):
    data = cifar(sheets, "cifar10", True, RAW)
    monkeypatch.setattr(type(data), "__getitem__", None)
    found = labelled(data)
    assert (found.labels.tolist(), found.name_of(3)) == ([*range(10), 0, 1], "cat")


def test_transform_is_applied(sheets):
    image, label = cifar(sheets, "cifar10", False, Preprocessing("signed", 16))[1]
    assert (image.shape, label, type(label)) == ((3, 16, 16), 2, int)
    assert -1 <= float(image.min()) < 0 < float(image.max()) <= 1


@pytest.mark.parametrize(("variant", "wanted"), [("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")])
def test_folder_with_neither_is_refused(tmp_path, variant, wanted):
    with pytest.raises(DataError, match=rf"holds no {variant}: neither torchvision's {wanted}/ nor sheets"):
        cifar(tmp_path, variant, True, RAW)


def test_damaged_batch_is_refused(cifar10_files):
    (cifar10_files / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"data_batch_3 is not the published file \(another checksum\); extract"):
        cifar(cifar10_files, "cifar10", True, RAW)


@pytest.mark.parametrize("name", ["data_batch_5", "test_batch", "batches.meta"])
def test_missing_batch_is_refused(cifar10_files, name):
    (cifar10_files / "cifar-10-batches-py" / name).unlink()
    with pytest.raises(DataError, match=rf"{name} cannot be read \(No such file or directory\); extract the archive"):
        cifar(cifar10_files, "cifar10", True, RAW)


class _Hostile:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_code_in_a_foreign_pickle_does_not_run(cifar10_files, name):
    made = cifar10_files / "made"
    _pickled(cifar10_files / "cifar-10-batches-py" / name, _Hostile(made))
    with pytest.raises(DataError, match=f"{name} is not the published file"):
        cifar(cifar10_files, "cifar10", True, RAW)
    assert not made.exists()
    with (cifar10_files / "cifar-10-batches-py" / name).open("rb") as file:
        pickle.load(file).close()
    assert made.exists()


def test_sheets_are_not_cifar100(sheets):
    with pytest.raises(DataError, match="holds no cifar100"):
        cifar(sheets, "cifar100", True, RAW)


def test_labels_without_sheets_are_refused(sheets):
    (sheets / "test_00.webp").unlink()
    with pytest.raises(DataError, match=r"has test_labels.npy but no sheets test_00.webp"):
        cifar(sheets, "cifar10", False, RAW)


def test_sheets_and_labels_of_different_number_are_refused(sheets):
    (sheets / "train_01.webp").unlink()
    with pytest.raises(DataError, match="6 train images in the sheets, 12 labels"):
        cifar(sheets, "cifar10", True, RAW)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 10]), r"labels go from 0 to 9, found \[10\]"),
        (np.array([-1, 3]), r"labels go from 0 to 9, found \[-1\]"),
        (np.array([0.0, 1.0]), r"is float64 \(2,\); one whole number an image is needed"),
        (np.array([[0, 1]]), r"is int64 \(1, 2\); one whole number"),
        (np.array([True, False]), "is bool"),
        (np.array(3), r"is int64 \(\)"),
    ],
)
def test_labels_of_another_form_are_refused(sheets, labels, message):
    np.save(sheets / "test_labels.npy", labels)
    with pytest.raises(DataError, match=f"test_labels.npy.*{message}"):
        cifar(sheets, "cifar10", False, RAW)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an array",
        b"PK\x03\x04 a torn archive",
        b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999,), }" + b" " * 40,
        b"\x93NUMPY\x01\x00v\x00" + b"(" * 118,
        pickle.dumps([4, 2]),
    ],
    ids=["empty", "text", "archive", "lying header", "nested header", "pickle"],
)
def test_label_files_that_are_no_arrays_are_refused_on_one_line(sheets, content):
    (sheets / "test_labels.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"test_labels.npy cannot be read as a NumPy array \(.+\)") as caught:
        cifar(sheets, "cifar10", False, RAW)
    assert "\n" not in str(caught.value)


def test_truncated_labels_and_pickled_arrays_are_refused(sheets):
    file = sheets / "train_labels.npy"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"train_labels.npy cannot be read as a NumPy array"):
        cifar(sheets, "cifar10", True, RAW)
    np.save(file, np.array([_Hostile(sheets / "made")], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"cannot be read as a NumPy array \(Object arrays cannot be loaded"):
        cifar(sheets, "cifar10", True, RAW)
    assert not (sheets / "made").exists()


def test_an_archive_in_place_of_labels_is_refused(sheets):
    with (sheets / "test_labels.npy").open("wb") as file:
        np.savez(file, np.array([4, 2]))
    with pytest.raises(DataError, match=r"test_labels.npy is an archive of arrays; one whole number"):
        cifar(sheets, "cifar10", False, RAW)


def test_sheet_that_is_not_made_of_tiles_is_refused(sheets):
    Image.new("RGB", (96, 65)).save(sheets / "train_00.png")
    with pytest.raises(DataError, match=r"train_00.png is 96 x 65 pixels, not a sheet of 32 x 32 tiles"):
        cifar(sheets, "cifar10", True, RAW)


def test_sheet_that_is_no_picture_is_refused(sheets):
    (sheets / "train_00.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"train_00.png cannot be read as an image"):
        cifar(sheets, "cifar10", True, RAW)


def test_real_cifar10_is_complete(real_data):
    train = cifar(real_data / "data" / "cifar10", "cifar10", True, RAW)
    assert train.pixels.shape == (50_000, 32, 32, 3)
    assert np.bincount(train.targets).tolist() == [5_000] * 10
    test = cifar(real_data / "data" / "cifar10", "cifar10", False, RAW)
    assert test.pixels.shape == (1_000, 32, 32, 3)


def test_real_network_is_as_good_as_published_on_real_images(real_data):
    network = load_model(f"{real_data / 'models' / 'networks.py'}:resnet20")
    test = cifar(real_data / "data" / "cifar10", "cifar10", False, Preprocessing("imagenet"))
    right = 0
    with torch.inference_mode():
        for images, labels in DataLoader(test, batch_size=100):
            right += int((network(images).argmax(1) == labels).sum())
    assert right / len(test) == pytest.approx(0.915, abs=0.002)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_in_the_place_of_a_published_file_is_not_waited_for(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    os.mkfifo(tmp_path / "cifar-10-batches-py" / "data_batch_1")
    with pytest.raises(DataError, match=r"data_batch_1 cannot be read \(it is no regular file\)"):
        cifar(tmp_path, "cifar10", True, Preprocessing("unit"))
