"""The map of paths: clusters apart, the same twice, and what cannot be mapped."""

import sys
import types

import numpy as np
import pytest
import torch

import unweave as uw
from tests.paths.made import sites_of
from unweave.errors import MissingExtraError, PathsError, SettingError
from unweave.paths import Paths, Rows


def clusters(count=20, noise=0.05, labels=None, manifest=None, **rows):
    """Two classes by turns; each switches its own half of the channels, with some noise."""
    classes = np.arange(count) % 2
    generator = torch.Generator().manual_seed(0)
    masks = {}
    for site in sites_of(12, 8):
        mask = torch.arange(site.channels) < site.channels // 2
        own = mask[None].expand(count, -1) ^ torch.from_numpy(classes == 1)[:, None]
        masks[site.name] = own ^ (torch.rand(own.shape, generator=generator) < noise)
    known = classes.tolist() if labels is None else labels
    return Paths(masks, Rows.of_inputs(count, labels=known, **rows), sites_of(12, 8), manifest or {})


def equal_paths():
    mask = torch.tensor([[True, False]]).expand(3, -1)
    return Paths({"a/relu:0": mask}, Rows.of_inputs(3, labels=[0, 1, 0]), sites_of(2), {})


@pytest.fixture(scope="module")
def found():
    return uw.embedding(clusters(), engine="scikit-learn")


def test_classes_with_paths_of_their_own_are_apart_before_and_on_the_map(found):
    table = found.separation
    assert table["space"] == ("PCA", "map")
    assert min(table["silhouette"]) > 0.4
    assert table["agreement_1"] == (1.0, 1.0)
    # Nine others are of the same class, ten are asked for.
    assert table["agreement_10"][0] == pytest.approx(0.9)
    assert table["agreement_by_chance"] == (pytest.approx(2 * 10 * 9 / (20 * 19)),) * 2


def test_the_same_seed_gives_the_same_map(found):
    again = uw.embedding(clusters(), engine="scikit-learn")
    assert np.array_equal(found.coordinates, again.coordinates)
    assert found.separation.columns == again.separation.columns
    assert not np.array_equal(found.coordinates, uw.embedding(clusters(), engine="scikit-learn", seed=1).coordinates)


def test_it_says_how_it_was_made(found):
    # 20 rows: at most 19 components, and a perplexity of a third of the other rows.
    assert "PCA to 19 components, t-SNE (scikit-learn, perplexity 6.33333, seed 0)" in found.to_table().title
    assert found.separation["features"] == (19, 2)
    assert found.title == "Paths of 20 inputs"


def test_distances_before_the_map_are_those_of_the_masks():
    # All components of 0/1 masks keep their distances, so that scores do not depend on the rotation.
    paths = clusters(6, noise=0.2)
    values = torch.cat(list(paths.masks.values()), 1).numpy().astype(float)
    from sklearn.metrics import silhouette_score

    expected = silhouette_score(values, paths.rows.labels)
    assert uw.embedding(paths).separation["silhouette"][0] == pytest.approx(expected, abs=1e-5)


def test_fewer_components_are_taken_where_asked():
    assert uw.embedding(clusters(), components=3, perplexity=2).separation["features"][0] == 3


def test_shuffled_labels_are_as_chance_has_it():
    labels = np.random.default_rng(0).permutation(np.arange(60) % 2).tolist()
    table = uw.embedding(clusters(60, labels=labels)).separation
    assert abs(table["silhouette"][0]) < 0.05
    assert table["agreement_10"][0] == pytest.approx(table["agreement_by_chance"][0], abs=0.1)


def test_inputs_of_unknown_class_are_mapped_and_not_scored():
    labels = [-1, -1, *(np.arange(18) % 2).tolist()]
    found = uw.embedding(clusters(labels=labels))
    assert found.coordinates.shape == (20, 2)
    assert found.title == "Paths of 20 inputs, 2 of unknown class"
    assert "paths of 18 inputs, labels" in found.separation.title


def test_predictions_can_stand_for_labels():
    paths = clusters(labels=[-1] * 20, predictions=(np.arange(20) % 2).tolist())
    with pytest.raises(PathsError, match="no input's label is known; give by='prediction'"):
        uw.embedding(paths)
    assert uw.embedding(paths, by="prediction").separation["agreement_1"][0] == 1.0


def test_names_of_classes_come_from_the_manifest_or_are_given():
    paths = clusters(6, manifest={"class_names": {"0": "cat", "1": "dog"}})
    assert uw.embedding(paths).class_names == {0: "cat", 1: "dog"}
    assert uw.embedding(paths, class_names={1: "cow"}).class_names == {0: "0", 1: "cow"}
    assert uw.embedding(clusters(6)).to_table()["name"][:2] == ("0", "1")


def test_one_channel_that_varies_is_enough():
    mask = torch.tensor([[1, 0], [1, 0], [1, 1], [1, 1]], dtype=torch.bool)
    paths = Paths({"a/relu:0": mask}, Rows.of_inputs(4, labels=[0, 0, 1, 1]), sites_of(2), {})
    found = uw.embedding(paths)
    assert found.separation["silhouette"][0] == pytest.approx(1.0)
    assert np.isfinite(found.coordinates).all()


def test_open_tsne_is_used_where_it_is_installed(monkeypatch):
    given = {}

    class TSNE:
        def __init__(self, *arguments, **settings):
            given.update(settings)

        def fit(self, features):
            return features[:, :2]

    module = types.ModuleType("openTSNE")
    module.TSNE = TSNE
    module.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "openTSNE", module)
    found = uw.embedding(clusters(), seed=5)
    assert "t-SNE (openTSNE, perplexity 6.33333, seed 5)" in found.how
    assert given["random_state"] == 5
    assert given["initialization"].shape == (20, 2)


def test_open_tsne_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="openTSNE is not installed"):
        uw.embedding(clusters(), engine="openTSNE")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (clusters(2), "at least three inputs, there are 2"),
        (clusters(4, labels=[1, 1, 1, 1]), "all inputs with a known label are of class 1"),
        (clusters(4, labels=[0, 1, 2, 3]), "alone in its class"),
        (equal_paths(), "all 3 paths are the same"),
        (Paths(clusters(3).masks, Rows.of_classes(range(3)), sites_of(12, 8), {}), "these paths' rows are classes"),
    ],
    ids=["two rows", "one label", "a label each", "equal paths", "rows of classes"],
)
def test_paths_that_have_no_map_are_refused(paths, message):
    with pytest.raises(PathsError, match=message):
        uw.embedding(paths)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "name"}, "by must be"),
        ({"components": 1}, "components must be"),
        ({"perplexity": 0}, "perplexity must be"),
        ({"engine": "umap"}, "engine must be one of openTSNE, scikit-learn"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        uw.embedding(clusters(), **settings)
