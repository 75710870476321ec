"""`disentangle` as a user calls it."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.search.problems import prepared_small, searched, small_problem
from tests.tiny import labelled_noise
from unweave.data.labelled import LabelledImages, labelled
from unweave.errors import CaptureError, DataError, FewStepsWarning, NumericError, SettingError, SiteError
from unweave.search.disentangle import disentangle
from unweave.search.objectives import objective_named
from unweave.search.objectives.released import Released

SETTINGS = {"objective": "released", "beta": 0.3, "classes": [0, 1, 2], "passes": 2, "batch": 4}


class FromItsBias(nn.Module):
    """Two sites; the second gives class 0 its score from its biases, whatever the first does."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 4, 1)
        self.classifier = nn.Linear(4, 2)
        nn.init.dirac_(self.first.weight)
        nn.init.constant_(self.second.weight, 0.01)
        nn.init.constant_(self.second.bias, 1.0)
        nn.init.zeros_(self.classifier.weight)
        self.classifier.weight.data[0, 0] = 5.0
        self.classifier.bias.data = torch.tensor([0.0, 2.5])

    def forward(self, images):
        return self.classifier(torch.relu(self.second(torch.relu(self.first(images)))).mean((2, 3)))


@pytest.fixture(scope="module")
def problem():
    return small_problem(torch.float32)


@pytest.fixture(scope="module")
def paths(problem):
    return disentangle(*problem, **SETTINGS)


def same_scores(a, b):
    return all(torch.equal(a.scores[name], b.scores[name]) for name in a.sites.names)


def test_paths_hold_a_row_per_class_and_masks_of_positive_scores(paths):
    assert paths.rows.classes == (0, 1, 2)
    assert paths.sites.names == ("relu_a/relu:0", "relu_b/relu:0", "relu_c/relu:0")
    for name, channels in zip(paths.sites.names, (4, 4, 5), strict=True):
        assert paths.scores[name].shape == (3, channels)
        assert torch.equal(paths.masks[name], paths.scores[name] > 0)


def test_manifest_tells_what_was_done(paths):
    manifest = paths.manifest
    assert manifest["method"] == "disentangle"
    assert manifest["objective"] == {"name": "released", "beta": 0.3, "reconstruction": True}
    settings = {name: manifest["settings"][name] for name in ("classes", "passes", "rate", "batch", "seed", "augment")}
    assert settings == {"classes": [0, 1, 2], "passes": 2, "rate": 0.1, "batch": 4, "seed": 0, "augment": "none"}
    assert manifest["settings"]["device"] == "cpu"
    assert manifest["classes_without_steps"] == []
    # classes of 9, 15 and 11 images in batches of 4, two passes
    assert manifest["steps"][0] == 2 * 3
    assert manifest["data"]["search"]["images"] == 9 + 15 + 11
    assert "elbow" not in manifest


def test_result_equals_the_solver_alone(problem, paths):
    prepared, images, _ = prepared_small(torch.float32)
    solver = searched(prepared, images, Released(0.3), (0, 1, 2), passes=2, kept=True)
    for name, score in zip(paths.sites.names, solver.scores, strict=True):
        assert torch.equal(paths.scores[name], score)


def test_same_call_gives_same_bytes(problem, paths):
    torch.manual_seed(7)
    assert same_scores(disentangle(*problem, **SETTINGS), paths)


@pytest.mark.parametrize("classes", [[2, 1, 0], (1, 0, 2), np.array([0, 2, 1])])
def test_order_of_classes_does_not_matter(problem, paths, classes):
    assert same_scores(disentangle(*problem, **{**SETTINGS, "classes": classes}), paths)


@pytest.mark.parametrize("name", ["released", "variational-noise"])
def test_presence_of_other_classes_does_not_matter(name):
    network, data = small_problem()
    settings = {**SETTINGS, "objective": name}
    together = disentangle(network, data, **settings)
    alone = disentangle(network, data, **{**settings, "classes": [1]})
    for site in alone.sites.names:
        assert torch.allclose(together.scores[site][1], alone.scores[site][0], rtol=0, atol=1e-12)
        assert torch.equal(together.masks[site][1], alone.masks[site][0])


def test_loader_and_data_set_give_the_same(problem, paths):
    network, data = problem
    assert same_scores(disentangle(network, DataLoader(data, batch_size=3, shuffle=True), **SETTINGS), paths)
    assert same_scores(disentangle(network, labelled(data), **SETTINGS), paths)


def test_labels_can_be_given(problem, paths):
    network, data = problem
    images = [(image, 0) for image in data.tensors[0]]
    assert same_scores(disentangle(network, images, labels=data.tensors[1], **SETTINGS), paths)


def test_rows_take_their_class_names(problem):
    network, data = problem
    images = LabelledImages(data, data.tensors[1].numpy(), ("cat", "dog", "eel", "fox"))
    assert disentangle(network, images, **SETTINGS).rows.names == ("cat", "dog", "eel")


def test_no_grad_does_not_matter(problem, paths):
    with torch.no_grad():
        assert same_scores(disentangle(*problem, **SETTINGS), paths)
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("keep_activations", [True, False])
def test_inference_mode_does_not_matter(problem, paths, keep_activations):
    with torch.inference_mode():
        found = disentangle(*problem, **SETTINGS, keep_activations=keep_activations)
        assert torch.is_inference_mode_enabled()
    for name in paths.sites.names:
        assert torch.allclose(found.scores[name], paths.scores[name], rtol=0, atol=1e-5)
        assert not found.scores[name].is_inference()


def test_objective_brings_its_own_beta(problem, paths):
    network, data = problem
    settings = {name: value for name, value in SETTINGS.items() if name not in ("objective", "beta")}
    assert same_scores(disentangle(network, data, objective=Released(0.3), **settings), paths)


def test_mixed_precision_gives_close_gates(problem, paths):
    found = disentangle(*problem, **SETTINGS, precision="bfloat16")
    for name in paths.sites.names:
        # bfloat16 has 8 bits; eight steps of 0.1 whose directions are off by a few per cent
        assert (torch.sigmoid(found.scores[name]) - torch.sigmoid(paths.scores[name])).abs().max() < 0.03


def test_augmentation_is_keyed_by_seed(problem):
    first, again = (disentangle(*problem, **SETTINGS, augment="published") for _ in range(2))
    assert same_scores(first, again)
    assert not same_scores(first, disentangle(*problem, **SETTINGS, augment="published", seed=1))
    assert not same_scores(first, disentangle(*problem, **SETTINGS))


def test_limit_per_class_is_kept(problem):
    found = disentangle(*problem, **SETTINGS, limit_per_class=5)
    assert found.manifest["data"]["search"]["images"] == 15


def test_every_connection_type_is_searched(network, noise):
    with torch.no_grad():
        answers = network(noise.tensors[0]).argmax(1)
    found = disentangle(network, noise, objective="released", labels=answers, beta=0.1, passes=2)
    assert found.rows.classes == tuple(sorted(set(answers.tolist())))
    assert found.manifest["classes_without_steps"] == []


def test_class_never_right_warns_and_is_listed(problem):
    with pytest.warns(UserWarning, match=r"no search image of 1 classes correctly \(3\); their rows stay"):
        found = disentangle(*problem, **{**SETTINGS, "classes": None})
    assert found.manifest["classes_without_steps"] == [3]
    assert found.manifest["steps"][3] == 0


def test_objectives_that_read_no_labels_do_not_warn(problem):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = disentangle(*problem, **{**SETTINGS, "classes": None, "objective": "concept-path", "rate": 1.0})
    assert found.manifest["classes_without_steps"] == []


def test_too_few_steps_to_leave_the_random_start_warn(problem):
    # the class with fewest images makes 6 steps of 0.1, against sqrt(5) = 2.24
    with pytest.warns(
        FewStepsWarning, match=r"few steps \(from 6 of 0.1\) that scores moved by at most 0.6, .*at length 2.24"
    ):
        disentangle(*problem, **SETTINGS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        disentangle(*problem, **{**SETTINGS, "rate": 0.5})


def test_too_few_steps_to_leave_the_attribution_warn_too(problem):
    short = {**SETTINGS, "objective": "selective", "beta": 1.0}
    with pytest.warns(FewStepsWarning, match="their masks are still mostly what the search began with; raise passes"):
        disentangle(*problem, **short)


@pytest.mark.parametrize("together", [1, 2])
def test_shards_do_not_matter(together, monkeypatch):
    network, data = small_problem()
    whole = disentangle(network, data, **SETTINGS)
    monkeypatch.setattr("unweave.search.plan._rows_that_fit", lambda prepared, data, plan, workers: together)
    parts = disentangle(network, data, **SETTINGS)
    assert parts.manifest["settings"]["classes_per_shard"] == together
    assert parts.manifest["steps"] == whole.manifest["steps"]
    for name in whole.sites.names:
        assert torch.allclose(parts.scores[name], whole.scores[name], rtol=0, atol=1e-12)


# --- the preprint's ablation


def test_bottom_masks_become_empty_without_reconstruction():
    images = torch.ones(6, 3, 2, 2)
    data = TensorDataset(images, torch.zeros(6, dtype=torch.int64))
    settings = {"objective": "released", "beta": 0.1, "passes": 80, "batch": 6}
    bottom, top = "relu:0", "relu:1"
    with_it = disentangle(FromItsBias(), data, **settings)
    without = disentangle(FromItsBias(), data, **settings, reconstruction=False)
    # every channel of the first site has mean square 1, above beta: reconstruction keeps it
    assert with_it.masks[bottom].all()
    # without it nothing in the loss needs the first site, and the penalty empties it
    assert not without.masks[bottom].any()
    assert bool(without.masks[top][0, 0])
    assert without.manifest["objective"]["reconstruction"] is False


# --- bad input

BAD = [
    ({"objective": "nad"}, SettingError, "no objective 'nad'; there are released"),
    ({"beta": -1.0}, SettingError, "beta must be a number from 0"),
    ({"beta": "best"}, SettingError, "beta must be a number or 'elbow', found 'best'"),
    ({"beta": True}, SettingError, "beta must be a number or 'elbow', found True"),
    ({"passes": 0}, SettingError, "passes must be"),
    ({"threads": 0}, SettingError, "threads must be a whole number from 1, found 0"),
    ({"limit_per_class": 0}, SettingError, "limit_per_class must be a whole number from 1, found 0"),
    ({"elbow_limit_per_class": 0}, SettingError, "^elbow_limit_per_class must be a whole number from 1, found 0"),
    ({"classes": [0, 8]}, DataError, "no images of class 8"),
    ({"sites": ["relu_z/relu:0"]}, SiteError, "relu_z/relu:0"),
    ({"labels": [0, 1]}, DataError, "one class index an image"),
    ({"labels": [4] * 40, "classes": None}, DataError, "labels go up to 4, the network has 4 class scores"),
]


@pytest.mark.parametrize(("settings", "error", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_refused(problem, settings, error, message):
    with pytest.raises(error, match=message):
        disentangle(*problem, **{**SETTINGS, **settings})


@pytest.mark.parametrize("position", [0, 1])
def test_nan_in_images_names_the_site(problem, position):
    # image 0 is among those of the self-test, image 1 is met by the search
    network, data = problem
    images = data.tensors[0].clone()
    images[position, 0, 0, 0] = float("nan")
    with pytest.raises(NumericError, match="first at site 'relu_a/relu:0'"):
        disentangle(network, TensorDataset(images, data.tensors[1]), **{**SETTINGS, "classes": [0, 1, 2, 3]})


def test_random_network_is_refused():
    class Shaken(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3))

        def forward(self, images):
            return super().forward(images) + torch.rand(3)

    with pytest.raises(CaptureError, match="is it random"):
        disentangle(Shaken(), labelled_noise(12), "filter", beta=0.1)


# --- progress


def test_progress_is_silent_when_switched_off(problem, capfd):
    disentangle(*problem, **SETTINGS, show_progress=False)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_progress_goes_to_standard_error_when_switched_on(problem, capfd):
    disentangle(*problem, **SETTINGS, show_progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "disentangling" in err


def test_objective_named_by_registry_is_the_same(problem, paths):
    settings = {name: value for name, value in SETTINGS.items() if name != "beta"}
    found = disentangle(*problem, **{**settings, "objective": objective_named("released", 0.3)})
    assert same_scores(found, paths)


@pytest.mark.parametrize("given", [{"beta": 0.5}, {"reconstruction": False}])
def test_an_objective_s_own_settings_are_not_overruled_in_silence(given):
    network, data = small_problem(torch.float32)
    with pytest.raises(SettingError, match="brings its own beta"):
        disentangle(network, data, objective=Released(0.1), **given)


def test_variants_of_objectives_have_names():
    network, data = small_problem(torch.float32)
    paths = disentangle(network, data, objective="variational:every-class", beta=0.1, passes=1)
    assert paths.manifest["objective"]["every_class"] is True
    with pytest.raises(SettingError, match="no variant 'printed' of released"):
        disentangle(network, data, objective="released:printed", beta=0.1)


def test_the_size_of_shards_can_be_given_and_changes_nothing():
    network, data = small_problem(torch.float64)
    settings = {"objective": "variational", "beta": 0.1, "passes": 2}
    together = disentangle(network, data, **settings)
    sharded = disentangle(network, data, classes_per_shard=1, **settings)
    assert sharded.manifest["settings"]["classes_per_shard"] == 1
    assert all(torch.allclose(together.scores[n], sharded.scores[n], atol=1e-12, rtol=0) for n in together.sites.names)
