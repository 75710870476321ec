"""`route` as a user calls it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import unweave as uw
from tests.search.interrupted import Scratched
from tests.search.problems import small_problem
from tests.tiny import TinyPlain
from unweave.data.labelled import labelled
from unweave.errors import CaptureError, DamagedImageError, DataError, NumericError, SiteError
from unweave.search.preparation import prepare
from unweave.search.route import route
from unweave.search.routing_gates import Descent, by_site, find_routes


@pytest.fixture(scope="module")
def problem():
    return small_problem(torch.float32)


@pytest.fixture(scope="module")
def paths(problem):
    return route(*problem)


def same(a, b):
    return a == b and all(torch.equal(a.scores[name], b.scores[name]) for name in a.sites.names)


def test_there_is_a_row_for_each_input_with_its_label_and_prediction(problem, paths):
    network, data = problem
    assert paths.rows.kind == "input"
    assert paths.rows.names == paths.rows.sources == tuple(str(position) for position in range(40))
    assert paths.rows.labels == tuple(data.tensors[1].tolist())
    with torch.no_grad():
        assert paths.rows.predictions == tuple(network(data.tensors[0]).argmax(1).tolist())


def test_scores_are_the_gates_and_masks_those_above_zero(problem, paths):
    prepared = prepare(problem[0], labelled(problem[1]), "block", None, None)
    found = find_routes(prepared, problem[1].tensors[0], Descent())
    assert paths.sites.names == prepared.sites.names
    for name, gates in zip(paths.sites.names, by_site(found.gates, prepared.sites), strict=True):
        assert torch.equal(paths.scores[name], gates)
        assert torch.equal(paths.masks[name], gates > 0)
    assert paths.manifest["all_gates_open"] == int((found.taken == 0).sum())
    assert paths.manifest["masks_keep_prediction"] == pytest.approx(float(found.masks_keep.float().mean()))
    assert paths.manifest["mean_loss"] == pytest.approx(float(found.losses.mean()))


def test_manifest_tells_what_was_done(paths):
    published = {"steps": 30, "rate": 0.1, "momentum": 0.9, "weight": 0.05, "bound": 10.0}
    settings = paths.manifest["settings"]
    assert {name: settings[name] for name in published} == published
    assert settings["device"] == "cpu"
    assert paths.manifest["method"] == "route"
    assert paths.manifest["data"]["routed"]["images"] == 40


def test_paths_come_back_from_a_file(paths, problem, tmp_path):
    assert same(uw.Paths.load(paths.save(tmp_path / "paths.safetensors"), problem[0]), paths)


def test_a_tensor_gives_the_same_paths_without_labels(problem, paths):
    found = route(problem[0], problem[1].tensors[0])
    assert found.rows.labels == (-1,) * 40
    assert all(torch.equal(found.scores[name], paths.scores[name]) for name in paths.sites.names)
    assert same(route(problem[0], problem[1].tensors[0], labels=problem[1].tensors[1]), paths)


def test_a_loader_and_labelled_images_give_the_same(problem, paths):
    network, data = problem
    assert same(route(network, DataLoader(data, batch_size=3, shuffle=True)), paths)
    assert same(route(network, labelled(data)), paths)


def test_batches_do_not_matter(problem, paths):
    found = route(*problem, batch=7)
    for name in paths.sites.names:
        assert torch.allclose(found.scores[name], paths.scores[name], rtol=0, atol=1e-5)
    assert found == paths


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_another_gradient_mode_does_not_matter(problem, paths, mode):
    with mode():
        found = route(problem[0], problem[1].tensors[0].clone(), labels=problem[1].tensors[1])
    assert same(found, paths)
    assert not any(table.is_inference() for table in found.scores.values())


def test_settings_reach_the_descent(problem, paths):
    found = route(*problem, steps=2, rate=0.2, momentum=0.5, weight=0.4, bound=1.0)
    settings = {"steps": 2, "rate": 0.2, "momentum": 0.5, "weight": 0.4, "bound": 1.0}
    assert {name: found.manifest["settings"][name] for name in settings} == settings
    assert not same(found, paths)


def test_sites_are_a_level_names_or_sites(problem):
    network, data = problem
    assert route(network, data, "filter", steps=1).sites.names[-1] == "relu_c/relu:0"
    assert route(network, data, ["relu_b/relu:0"], steps=1).sites.names == ("relu_b/relu:0",)
    sites = uw.find_sites(network, data.tensors[0][:1], ["relu_a/relu:0"])
    assert route(network, data, sites, steps=1).sites.names == ("relu_a/relu:0",)


def test_a_limit_takes_inputs_evenly_spread(problem, paths):
    found = route(*problem, limit=4)
    assert found.rows.names == ("0", "13", "26", "39")
    for name in paths.sites.names:
        assert torch.allclose(found.scores[name], paths.scores[name][[0, 13, 26, 39]], rtol=0, atol=1e-5)
    assert len(route(*problem, limit=50, steps=1)) == 40


def test_damaged_images_are_left_out_and_counted(problem, paths):
    images = Scratched(problem[1])
    with pytest.warns(UserWarning, match="2 of 40 images cannot be read and were left out; the first: scratched"):
        found = route(problem[0], images)
    rows = [position for position in range(40) if position not in images.scratched]
    assert found.rows.names == tuple(map(str, rows))
    assert found.manifest["damaged_images"] == 2
    for name in paths.sites.names:
        assert torch.allclose(found.scores[name], paths.scores[name][rows], rtol=0, atol=1e-5)
    with pytest.raises(DamagedImageError, match="image 1 is damaged"):
        route(problem[0], images, strict=True)


def test_a_batch_of_damaged_images_alone_is_left_out(problem):
    with pytest.warns(UserWarning, match="3 of 40 images"):
        found = route(problem[0], Scratched(problem[1], (3, 4, 5)), batch=3, steps=1)
    assert len(found) == 37


def test_without_an_image_that_can_be_read_there_are_no_paths(problem):
    with pytest.raises(DataError, match="no image of 40 can be read"):
        route(problem[0], Scratched(problem[1], range(40)))


def test_paths_restrict_the_network_input_by_input(problem, paths):
    """Where masks alone keep all predictions, the restricted network says what the network does."""
    kept = uw.restrict(problem[0], paths)(problem[1].tensors[0]).argmax(1) == torch.tensor(paths.rows.predictions)
    assert float(kept.float().mean()) == pytest.approx(paths.manifest["masks_keep_prediction"])


def test_nan_in_an_image_names_site_and_images(problem):
    images = problem[1].tensors[0].clone()
    images[1, 0, 0, 0] = torch.nan
    with pytest.raises(NumericError, match=r"first at site 'relu_a/relu:0' \(in images 0 to 4\)"):
        route(problem[0], images, batch=5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.empty(0, 3, 6, 6), r"at least one, found shape \(0, 3, 6, 6\)"),
        (torch.zeros(()), r"images \[inputs, \.\.\.\] are needed, at least one, found shape \(\)"),
        (torch.zeros(5), r"at least one, found shape \(5,\)"),
        (np.zeros((2, 3, 6, 6), np.float32), r"give torch\.from_numpy\(images\)"),
        ([], "the data set has no images"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(problem, images, message):
    with pytest.raises(DataError, match=message):
        route(problem[0], images)


def test_images_that_the_network_does_not_take_are_refused(problem):
    with pytest.raises(CaptureError, match=r"images of shape \(1, 6, 6\)"):
        route(problem[0], torch.zeros(2, 1, 6, 6))


def test_images_of_another_size_than_the_sites_were_found_with_are_refused():
    network = TinyPlain().randomised()
    sites = uw.find_sites(network, torch.zeros(1, 3, 8, 8))
    with pytest.raises(DataError, match=r"have shape \(3, 12, 12\), \(3, 8, 8\) is needed"):
        route(network, torch.randn(2, 3, 12, 12), sites)


def test_an_unknown_site_is_refused(problem):
    with pytest.raises(SiteError, match="no site 'relu_d/relu:0'"):
        route(*problem, ["relu_d/relu:0"])


def test_a_network_with_one_class_score_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    with pytest.raises(CaptureError, match="one output z, so there are no classes to tell apart"):
        route(network, torch.randn(2, 3, 8, 8))
