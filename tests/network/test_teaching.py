"""Operations that the table does not know: named, taught, and known in other processes."""

import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from unweave.data.labelled import labelled
from unweave.errors import SettingError, SiteError
from unweave.network import teaching
from unweave.network.capture import capture
from unweave.network.operations import TAUGHT, Effect, Operation
from unweave.network.sites import find_sites, sites_of
from unweave.network.teaching import teach_operation
from unweave.search.tasks import Worker

IMAGES = torch.zeros(1, 3, 8, 8)


@pytest.fixture(autouse=True)
def nothing_taught(monkeypatch):
    monkeypatch.setattr(teaching, "_MODULES", {})
    before = dict(TAUGHT)
    TAUGHT.clear()
    yield
    TAUGHT.clear()
    TAUGHT.update(before)


class Heaped(nn.Module):
    """A convolution, its lower triangle, a product with its sorted self, and a head."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, images):
        values = self.conv(images).tril()
        return self.head((values * values.sort(2).values).mean((2, 3)))


@pytest.fixture(scope="module")
def captured():
    return capture(Heaped(), IMAGES)


def test_unknown_operations_are_named_with_their_places(captured):
    sites = sites_of(captured, "filter")
    assert sites.unknown == ("tril:0", "sort")
    assert sites[:0].unknown == sites.unknown
    line = "channels are lost track of at tril:0, sort: operations that the table does not know; see unweave.teach_op"
    assert repr(sites).splitlines()[-1].startswith(line)
    assert f"<p>{line}" in sites._repr_html_()


def test_known_operations_are_not_named():
    assert (
        find_sites(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3)), IMAGES, "filter").unknown == ()
    )


def test_a_refusal_names_them_too(captured):
    with pytest.raises(SiteError, match=r"'mul:0' in Heaped has no channel dim.* \(channels are lost track of at tril"):
        sites_of(captured, ["mul:0"])
    with pytest.raises(SiteError, match=r"level 'neurons': Heaped has no activation .* \(channels are lost .* tril:0"):
        sites_of(captured, "neurons")
    with pytest.raises(SiteError, match=r"no site was found in Sequential at level 'block'.*lost track of at 0/tril:0"):
        find_sites(nn.Sequential(Heap(), nn.Flatten(), nn.Linear(192, 3)), IMAGES)


class Heap(nn.Module):
    def forward(self, values):
        return values.tril()


def test_taught_operation_is_followed(captured):
    teach_operation("tril", "keep", keeps_zero=True)
    teach_operation("sort", "norm")
    assert sites_of(captured, ["tril:0", "mul:0"]).names == ("tril:0", "mul:0")
    assert sites_of(captured, "filter").unknown == ()
    assert TAUGHT["tril"] == Operation(Effect.KEEP, keeps_zero=True)


def test_example_of_the_page_does_what_the_page_says():
    page = (Path(__file__).parents[2] / "docs" / "sites.md").read_text(encoding="utf-8")
    section = page.split("## Teaching the table an operation")[1]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names = {}
    exec(code, names)
    assert names["before"].names == ("0/conv2d:0", "2/conv2d:0")
    assert names["before"].unknown == ("1/mine.softer_relu:0", "3/mine.softer_relu:0")
    assert names["after"].names == ("1/mine.softer_relu:0", "3/mine.softer_relu:0")
    assert names["after"].unknown == ()
    assert TAUGHT["mine.softer_relu"].activation


@pytest.mark.parametrize(
    ("name", "effect", "rest", "message"),
    [
        ("tril", "keeps", {}, "no effect 'keeps' of an operation; there are keep, norm, pool, mix, "),
        ("tril", "unknown", {}, "no effect 'unknown'"),
        ("relu", "keep", {}, "the table knows 'relu' already: its effect is 'keep'"),
        ("trul", "keep", {}, r"PyTorch has no operation 'trul' \(closest: .*give the name that `unweave sites`"),
        ("mine::nothing", "keep", {}, "PyTorch has no operation 'mine::nothing'"),
        ("tril", "mix", {"activation": True}, "an activation keeps channels; give effect 'keep', found 'mix'"),
        ("tril", "keep", {"multiplies": True}, "give effect 'combine', found 'keep'"),
        ("tril", "keep", {"mixes": -1}, "mixes is 1 or, for effect 'mix', -1; found -1 for effect 'keep'"),
        ("tril", "mix", {"mixes": 2}, "mixes is 1 or"),
        ("tril", "keep", {"defined_in": "no.such"}, "'tril' is defined in 'no.such', which cannot be imported"),
    ],
)
def test_what_cannot_be_taught_is_refused(name, effect, rest, message):
    with pytest.raises(SettingError, match=message):
        teach_operation(name, effect, **rest)
    assert TAUGHT == {}


def test_mixing_operation_has_its_channels_in_the_dimension_told(captured):
    teach_operation("tril", "mix", mixes=-1)
    assert sites_of(captured, ["tril:0"])[0].dim == 3


def test_worker_of_a_search_brings_what_was_taught_to_other_processes(monkeypatch):
    teach_operation("tril", "keep", defined_in="json")
    data = labelled(TensorDataset(IMAGES, torch.zeros(1, dtype=torch.long)))
    sent = pickle.dumps(Worker(nn.Linear(3, 3), data, "block", None, None))
    TAUGHT.clear()  # as in a process that starts
    teaching._MODULES.clear()
    imported = []
    monkeypatch.setattr(teaching.importlib, "import_module", imported.append)
    worker = pickle.loads(sent)
    assert {"tril": Operation(Effect.KEEP)} == TAUGHT
    assert imported == ["json"]
    assert (worker.sites, "taught" in vars(worker)) == ("block", False)
