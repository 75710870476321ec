"""Where damaged and hostile files of extracted and decoupled networks, trainings and routes enter: `INPUTS`."""

from functools import cache

import torch

from tests import odd_files
from tests.damages import BYTES, CODE, PLACES
from tests.decoupling.problems import Chain
from tests.decoupling.training.trainings import net, training
from tests.surfaces import USER_FILE, Images, Surface, prepared, write_inputs
from tests.tiny import labelled_noise
from unweave.data.labelled import labelled
from unweave.decoupling.format import load_decoupled
from unweave.decoupling.training.folder import TrainingFolder
from unweave.paths import Paths
from unweave.pipeline.decoupled import open_decoupled, write_paths
from unweave.pipeline.inputs import Inputs
from unweave.runs.folder import RunFolder
from unweave.search.routing import Routing
from unweave.search.routing_gates import Descent
from unweave.surgery.extract import extract
from unweave.surgery.file import load_extracted


def _decoupled_file(folder):
    net().save(folder / "file.safetensors")


def _decoupled_run(folder):
    """What `unweave decouple` leaves."""
    training = TrainingFolder(folder / "run")
    net().save(training.best_file)
    file = folder / "mine.py"
    file.write_text(USER_FILE)
    training.write_inputs({"inputs": Inputs(f"{file}:chain", f"{file}:images").as_settings(), "seed": 0})


def _paths_through(folder):
    run = RunFolder(folder / "out")
    chosen = {"train": False, "last": False, "strict": False, "device": None}
    opened = open_decoupled(folder / "run", f"{folder / 'mine.py'}:images", **chosen)
    return write_paths(opened, run, limit=2, batch=None, with_scores=True)


def _train(folder, stop=False):
    made = training(None if folder is None else folder / "run", validation=False)
    save = made._save

    def stopping(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    if stop:
        made._save = stopping
    made.run()
    return [value.tolist() for value in made.net.state_dict().values()]


def _interrupted_training(folder):
    try:
        _train(folder, stop=True)
    except KeyboardInterrupt:
        return
    raise AssertionError("the training was not interrupted")


def _read_checkpoint(folder):
    """What is sealed may hold other weights: taken or refused."""
    return _train(folder)


@cache
def _uninterrupted_training():
    return _train(None)


def _go_on_training(folder):
    assert _train(folder) == _uninterrupted_training(), "the resumed training made another network"


def _routing(folder, images):
    network, ready = prepared()
    chosen = Descent(steps=2)
    routing = Routing(
        network,
        labelled(images),
        "block",
        chosen,
        batch=4,
        folder=None if folder is None else RunFolder(folder / "run"),
    )
    routing.prepared = ready
    return routing


def _interrupted_routes(folder):
    try:
        _routing(folder, Images(most=2 + 12 + 6)).run()
    except KeyboardInterrupt:
        write_inputs(folder)
        return
    raise AssertionError("the routing was not interrupted")


def _finished_routes(folder):
    _routing(folder, Images()).run()
    write_inputs(folder)


@cache
def _uninterrupted_routes():
    return _routing(None, Images()).run()


def _go_on_routing(folder):
    assert _routing(folder, Images()).run() == _uninterrupted_routes(), "the resumed routing found other paths"


def _extracted_file(folder):
    """Of a network with two of its channels, so that there are positions among its tensors."""
    network, ready = prepared()
    masks = {site.name: (torch.arange(site.channels) % 2 == 0)[None] for site in ready.sites}
    paths = Paths.from_masks(masks, network, labelled_noise(2).tensors[0], classes=[0])
    extract(network, paths, labelled_noise(2).tensors[0]).save(folder / "file.safetensors")


def _run_extracted(folder):
    return load_extracted(folder / "file.safetensors")(labelled_noise(2).tensors[0])


INPUTS = [
    Surface(
        "extracted network",
        _extracted_file,
        ["file.safetensors"],
        {**BYTES, **PLACES, **CODE, **odd_files.TENSORS},
        _run_extracted,
        weight=0.4,
    ),
    Surface(
        "decoupled network",
        _decoupled_file,
        ["file.safetensors"],
        {**BYTES, **PLACES, **CODE, **odd_files.TENSORS},
        lambda folder: load_decoupled(Chain(), folder / "file.safetensors", labelled_noise(2).tensors[0]),
        weight=0.4,
    ),
    Surface(
        "decoupled run",
        _decoupled_run,
        ["run/*"],
        {**BYTES, **PLACES, **CODE},
        _paths_through,
        lambda folder: ["paths", str(folder / "run"), f"{folder / 'mine.py'}:images", "--out", str(folder / "out")],
        weight=0.3,
    ),
    Surface(
        "interrupted training",
        _interrupted_training,
        ["run/run.json", "run/journal.jsonl", "run/checkpoint.safetensors", "run/last.safetensors", "run/.lock"],
        {**BYTES, **PLACES, **CODE},
        _go_on_training,
        weight=0.3,
    ),
    Surface(
        "training checkpoint",
        _interrupted_training,
        ["run/checkpoint.safetensors"],
        odd_files.TENSORS,
        _read_checkpoint,
        weight=0.3,
    ),
    Surface(
        "interrupted routes",
        _interrupted_routes,
        ["run/run.json", "run/journal.jsonl", "run/shards/*", "run/.lock"],
        {**BYTES, **PLACES, **CODE},
        _go_on_routing,
        weight=0.4,
    ),
    Surface(
        "finished routes",
        _finished_routes,
        ["run/*"],
        {**BYTES, **PLACES, **CODE},
        _go_on_routing,
        lambda folder: ["analyse", str(folder / "run"), "--measure", "usage"],
        weight=0.4,
    ),
]
