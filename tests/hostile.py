"""Where damaged and hostile inputs enter, and how each is used there as a user would: `SURFACES`."""

import json
import pickle
from functools import cache

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

from tests import odd_files
from tests.damages import BYTES, CODE, JSON, PLACES, json_changed
from tests.hostile_inputs import INPUTS
from tests.paths.made import animals
from tests.surfaces import USER_FILE, Images, Surface, prepared, write_inputs
from unweave.data.cifar import cifar
from unweave.data.folders import first_picture, image_folder, read_class_list
from unweave.data.image_list import image_list
from unweave.data.labelled import labelled
from unweave.data.preprocessing import Preprocessing
from unweave.paths import Paths
from unweave.pipeline.rows import read_groups
from unweave.runs.folder import RunFolder
from unweave.search.search import Search
from unweave.search.settings import Settings
from unweave.search.targets import make_targets
from unweave.zoo.models import load_model

FOUND = "file"
"""The name, without suffix, of a file that is damaged."""
UNIT = Preprocessing("unit", 8)
CLASSES = [{"index": i, "wnid": f"n{i}", "name": f"class {i}"} for i in range(3)]
GROUPS = {"even": [0, "class 2"], "odd": ["1"]}


def _look_at_paths(folder):
    paths = Paths.load(folder / "file.safetensors")
    return repr(paths), paths.kept(), paths._repr_html_()


def _weights(name):
    def write(folder):
        torch.manual_seed(0)
        state = load_model("zoo:digits", "random").state_dict()
        if name.endswith(".safetensors"):
            save_file({key: tensor.numpy() for key, tensor in state.items()}, folder / name)
        else:
            torch.save(
                {"epoch": 1, "state_dict": state}, folder / name, _use_new_zipfile_serialization="tar" not in name
            )

    return write


def _load_weights(name):
    return lambda folder: load_model("zoo:digits", weights=folder / name)


def _sites_with(name):
    return lambda folder: ["sites", "zoo:digits", "--input", "1x8x8", "--weights", str(folder / name)]


def _pictures(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    for number, suffix in enumerate(("jpg", "png", "webp", "gif", "bmp", "tif", "ppm")):
        home = folder / "data" / f"class {number % 3}"
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels + np.uint8(number)).save(home / f"{number}.{suffix}")


def _read_pictures(folder, *, strict=False):
    data = folder / "data"
    first_picture(data, UNIT)
    images = labelled(image_folder(data, UNIT, 3), strict=strict)
    images.fingerprint(np.arange(len(images)))
    images.images(images.intact(2))
    return list(images.batches([np.arange(len(images))]))


def _sheets(folder):
    (folder / "data").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 96, 3), dtype=np.uint8)
    for name in ("train_00.webp", "train_01.png"):
        Image.fromarray(pixels).save(folder / "data" / name)
    np.save(folder / "data" / "train_labels.npy", np.arange(6))


def _cifar_batches(folder):
    home = folder / "data" / "cifar-10-batches-py"
    home.mkdir(parents=True)
    for name in ("batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6))):
        (home / name).write_bytes(pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}))


def _read_cifar(folder):
    images = labelled(cifar(folder / "data", "cifar10", True, UNIT))
    return images.images(images.intact(2))


def _json_file(value):
    def write(folder):
        (folder / "file.json").write_text(json.dumps(value))
        (folder / "mine.py").write_text(USER_FILE)
        _pictures(folder)

    return write


def _image_list(folder):
    _pictures_and_network(folder)
    files = sorted(file.relative_to(folder) for file in (folder / "data").glob("*/*"))
    (folder / "file.txt").write_text("".join(f"{file} {number % 3}\n" for number, file in enumerate(files)))


def _read_listed(folder):
    images = labelled(image_list(folder / "file.txt", UNIT))
    images.fingerprint(np.arange(len(images)))
    return images.images(images.intact(2))


def _search_listed(folder):
    return _search(folder, f"imagelist:{folder / 'file.txt'}", "--preprocess", "unit", "--size", "8")


def _map_folders(folder):
    return image_folder(folder / "data", UNIT, 3, read_class_list(folder / "file.json"))


def _group(folder):
    images = labelled(Images())
    return make_targets(images, 3, None, read_groups(folder / "file.json", images), None)


def _give_labels(folder):
    try:
        labels = json.loads((folder / "file.json").read_text())
    except (ValueError, RecursionError):  # the user's own reading
        return None
    return labelled(Images(), labels=labels).fingerprint(np.arange(12))


def _search(folder, data, *options):
    network = f"{folder / 'mine.py'}:network"
    chosen = ["--beta", "0.1", "--passes", "1", "--limit-per-class", "1", "--objective", "concept-path"]
    return ["disentangle", network, data, "--out", str(folder / "out"), *chosen, *options]


def _search_pictures(folder, *options):
    return _search(folder, f"imagefolder:{folder / 'data'}", "--preprocess", "unit", "--size", "8", *options)


def _search_pictures_mapped(folder):
    return _search_pictures(folder, "--classes-file", str(folder / "file.json"))


def _search_groups(folder):
    return _search(folder, f"{folder / 'mine.py'}:images", "--groups", str(folder / "file.json"))


def _pictures_and_network(folder):
    _pictures(folder)
    (folder / "mine.py").write_text(USER_FILE)


# ---- Runs

_SETTINGS = Settings(objective="concept-path", beta=0.1, passes=3, rate=1.0, keep_activations=False, threads=1)


def _searching(folder, images):
    network, ready = prepared()
    search = Search(network, labelled(images), "block", _SETTINGS, folder=RunFolder(folder / "run"))
    search.prepared = ready
    return search


def _interrupted_run(folder):
    try:
        _searching(folder, Images(most=12 + 12 + 6)).run()
    except KeyboardInterrupt:
        write_inputs(folder)
        return
    raise AssertionError("the run was not interrupted")


def _finished_run(folder):
    _searching(folder, Images()).run()
    write_inputs(folder)


@cache
def _uninterrupted():
    network, ready = prepared()
    search = Search(network, labelled(Images()), "block", _SETTINGS)
    search.prepared = ready
    return search.run()


def _go_on(folder):
    """What is reached, if anything, is what an uninterrupted search reaches."""
    found = _searching(folder, Images()).run()
    assert found == _uninterrupted(), "the resumed search found other paths"


def _read_run(folder):
    run = RunFolder(folder / "run")
    run.journal.read()
    return run.read_record(), run.read_inputs()


def _analyse(folder):
    return ["analyse", str(folder / "run"), "--measure", "usage", "--measure", "accuracy"]


SURFACES = [
    Surface(
        "paths file",
        lambda folder: animals().save(folder / "file.safetensors"),
        ["file.safetensors"],
        {**BYTES, **PLACES, **CODE, **odd_files.PATHS},
        _look_at_paths,
        weight=3,
    ),
    *(
        Surface(
            f"weights {name.partition('.')[2]}",
            _weights(name),
            [name],
            {**BYTES, **PLACES, **CODE, **(odd_files.SAFETENSORS if "safe" in name else {})},
            _load_weights(name),
            _sites_with(name),
        )
        for name in ("file.safetensors", "file.pt", "file.pth.tar")
    ),
    Surface(
        "picture",
        _pictures_and_network,
        ["data/*/*"],
        {**BYTES, **PLACES, **CODE, **odd_files.PICTURES},
        _read_pictures,
        _search_pictures,
        weight=3,
    ),
    Surface(
        "picture, strict",
        _pictures_and_network,
        ["data/*/*"],
        {**BYTES, **PLACES, **CODE, **odd_files.PICTURES},
        lambda folder: _read_pictures(folder, strict=True),
        lambda folder: _search_pictures(folder, "--strict"),
    ),
    Surface(
        "image folder",
        _pictures_and_network,
        ["data/*/*"],
        odd_files.FOLDERS,
        _read_pictures,
        _search_pictures,
        weight=0.5,
    ),
    Surface(
        "CIFAR sheets",
        _sheets,
        ["data/*"],
        {**BYTES, **PLACES, **CODE, **odd_files.PICTURES, **odd_files.ARRAYS},
        _read_cifar,
    ),
    Surface("CIFAR batches", _cifar_batches, ["data/*/*"], {**BYTES, **PLACES, **CODE}, _read_cifar, weight=0.5),
    Surface("image list", _image_list, ["file.txt"], {**BYTES, **PLACES, **CODE}, _read_listed, _search_listed),
    Surface(
        "class list",
        _json_file(CLASSES),
        ["file.json"],
        {**BYTES, **PLACES, **CODE, **JSON},
        _map_folders,
        _search_pictures_mapped,
        weight=2,
    ),
    Surface(
        "groups",
        _json_file(GROUPS),
        ["file.json"],
        {**BYTES, **PLACES, **CODE, **JSON},
        _group,
        _search_groups,
        weight=2,
    ),
    Surface(
        "labels", _json_file([0, 1, 2] * 4), ["file.json"], {"JSON changed": json_changed}, _give_labels, weight=0.5
    ),
    Surface(
        "run's files",
        _interrupted_run,
        ["run/*.json", "run/journal.jsonl"],
        {**BYTES, **PLACES, **CODE, **JSON},
        _read_run,
        _analyse,
        weight=2,
    ),
    Surface(
        "interrupted run",
        _interrupted_run,
        ["run/run.json", "run/journal.jsonl", "run/shards/*", "run/.lock"],
        {**BYTES, **PLACES, **CODE},
        _go_on,
        weight=0.4,
    ),
    Surface(
        "finished run",
        _finished_run,
        ["run/*"],
        {**BYTES, **PLACES, **CODE},
        _go_on,
        _analyse,
        weight=0.4,
    ),
    *INPUTS,
]
