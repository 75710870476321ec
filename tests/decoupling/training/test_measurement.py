"""What a decoupled network does on a data set: counted by several processes, in mixed precision."""

import copy
import threading
from typing import ClassVar

import pytest
import torch

from tests.decoupling.problems import Chain, choosy, settled
from tests.decoupling.training.trainings import images, net, training
from unweave.data.labelled import labelled
from unweave.decoupling.network import decouple
from unweave.decoupling.training.images import TrainingImages
from unweave.decoupling.training.measurement import countable, data_cost
from unweave.decoupling.training.processes import Processes
from unweave.errors import CaptureError


def shown(count=7):
    return TrainingImages(labelled(images(count)), torch.device("cpu"))


@pytest.fixture
def decoupled():
    return choosy(net())


def test_mean_and_spread_are_those_of_the_images(decoupled):
    found = data_cost(decoupled, shown())
    each = decoupled.multiply_accumulates(images(7).tensors[0])
    assert found.mean == pytest.approx(float(each.total.double().mean()), rel=1e-12)
    assert found.spread == pytest.approx(float(each.total.double().std(correction=0)), rel=1e-12)
    assert found.spread > 0
    assert found.dense == each.dense


class Together(Processes):
    """Two processes that are threads."""

    values: ClassVar[dict] = {}
    barrier = threading.Barrier(2, timeout=60)

    def added(self, tensor):
        self.values[self.rank] = tensor
        self.barrier.wait()
        whole = sum(self.values[rank] for rank in range(2))
        self.barrier.wait()
        return whole


def test_processes_share_the_images(decoupled, monkeypatch):
    captured, counted, found = countable(decoupled, shown()), {}, {}
    alone = data_cost(decoupled, shown(), captured=captured)

    def work(rank):
        own, given = copy.deepcopy(decoupled), shown()
        own.register_forward_pre_hook(lambda _, arguments: counted.update({rank: len(arguments[0])}))
        found[rank] = data_cost(own, given, "float32", Together(rank, 2), captured)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert counted == {0: 4, 1: 3}
    assert found[0] == found[1]
    assert (found[0].mean, found[0].spread) == pytest.approx((alone.mean, alone.spread), rel=1e-12)
    assert (found[0].dense, found[0].empty) == (alone.dense, alone.empty)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_costs_are_of_paths_in_the_precision_that_accuracy_is_measured_in(decoupled, precision):
    kinds, captured = set(), countable(decoupled, shown())
    decoupled.controlled["second"].convolution.register_forward_hook(lambda *given: kinds.add(given[2].dtype))
    data_cost(decoupled, shown(), precision, captured=captured)
    assert kinds == {getattr(torch, precision)}


def test_controllers_compute_in_full_precision_in_mixed(decoupled):
    controller, values = decoupled.controlled["third"].controller, torch.rand(5, 8, 4, 4)
    with torch.no_grad():
        exact = controller(values)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(controller(values), exact)
            assert controller(values.bfloat16()).dtype == torch.float32


def test_what_cannot_be_counted_is_refused_before_the_first_epoch(tmp_path):
    class Summed(Chain):
        def forward(self, values):
            return torch.einsum("bi,ij->bj", super().forward(values), torch.eye(3))

    made = training(tmp_path / "run")
    made.net = decouple(settled(Summed()), images().tensors[0][:2])
    with pytest.raises(CaptureError, match="multiply-accumulates of einsum"):
        made.run()
    assert not made.folder.last_file.exists()
