"""Getting to Ray: what is wrong is said in one line and in time."""

import socket
import sys

import pytest

from unweave.engine import engine_named, ray_connection
from unweave.engine.base import Needs
from unweave.engine.ray_connection import check_room, nodes_at
from unweave.errors import EngineError, MissingExtraError, SettingError


def test_an_address_where_nothing_listens_is_refused_at_once():
    with socket.socket() as taken:  # bound, but not listening: nobody else gets the port meanwhile
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=rf"nothing answers at 127.0.0.1:{port} .*ray start --head") as caught:
            nodes_at(f"127.0.0.1:{port}")
    assert "\n" not in str(caught.value)


def test_what_listens_but_is_no_ray_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(ray_connection, "SECONDS_TO_ANSWER", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(EngineError, match=rf"what listens at {address} does not answer as Ray within 1 s"):
            nodes_at(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://127.0.0.1:10001", "Ray's clients cannot be used"),
        ("somewhere", "the address of Ray is HOST:PORT or auto, found 'somewhere'"),
        ("host:99999", "HOST:PORT"),
    ],
)
def test_what_is_no_address_is_refused(address, message):
    with pytest.raises(SettingError, match=message):
        nodes_at(address)


@pytest.mark.parametrize("address", [None, "127.0.0.1:6379"])
def test_without_ray_one_line_says_what_to_install(monkeypatch, address):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingExtraError, match=r"^Ray is not installed: pip install 'unweave\[ray\]', or engine proc"),
        engine_named("ray", 2, address).opened(Needs()),
    ):
        pass
    with pytest.raises(MissingExtraError):
        _ = engine_named("ray", None, "127.0.0.1:6379").workers


class Nodes:
    """Ray, as far as nodes are asked for."""

    def __init__(self, *resources):
        self.resources = resources

    def nodes(self):
        return [{"Alive": alive, "Resources": resources} for alive, resources in self.resources]


def test_a_cluster_without_room_for_a_task_is_refused_instead_of_waited_for():
    nodes = Nodes((True, {"CPU": 4.0}), (False, {"CPU": 16.0, "GPU": 1.0}))
    check_room(nodes, Needs(4))
    with pytest.raises(EngineError, match=r"needs 8 processors and 0 GPUs of one node, Ray's nodes have at most 4 and"):
        check_room(nodes, Needs(8))
    with pytest.raises(EngineError, match="needs 1 processors and 1 GPUs"):
        check_room(nodes, Needs(1, 1))
