"""What `Paths` promise: frozen, asked by name, combined like sets."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.paths.made import animals, any_paths, make, masks_equal, sites_of
from tests.tiny import TinyPlain
from unweave.errors import MismatchError, PathsError, RowError, SettingError, SiteError
from unweave.network.sites import find_sites
from unweave.paths import Paths, Rows

EXAMPLE = torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize("name", ["rows", "sites", "manifest", "masks", "_masks", "anything"])
def test_paths_are_frozen(name):
    paths = animals()
    with pytest.raises(AttributeError, match=f"Paths are frozen; '{name}' cannot be set"):
        setattr(paths, name, None)


def test_attributes_cannot_be_deleted():
    paths = animals()
    with pytest.raises(AttributeError, match="'rows' cannot be deleted"):
        del paths.rows
    assert len(paths) == 3


@pytest.mark.parametrize("mapping", ["masks", "scores", "manifest"])
def test_mappings_are_read_only(mapping):
    paths = animals()
    with pytest.raises(TypeError, match="does not support item assignment"):
        getattr(paths, mapping)["a/relu:0"] = torch.zeros(3, 5)


def test_paths_do_not_share_the_manifest_they_were_given():
    manifest = {"method": "by hand"}
    paths = make(Rows.of_classes([0]), sites_of(4), manifest=manifest)
    manifest["method"] = "changed"
    assert paths.manifest["method"] == "by hand"


def test_masks_are_in_forward_order_whatever_order_they_were_given_in():
    sites = sites_of(2, 3)
    masks = {"b/relu:0": torch.ones(1, 3, dtype=torch.bool), "a/relu:0": torch.ones(1, 2, dtype=torch.bool)}
    assert list(Paths(masks, Rows.of_inputs(1), sites, {}).masks) == ["a/relu:0", "b/relu:0"]


def test_masks_are_stored_not_derived_from_scores():
    sites, rows = sites_of(3), Rows.of_classes([0])
    masks = {"a/relu:0": torch.tensor([[True, False, True]])}
    scores = {"a/relu:0": torch.tensor([[-1.0, 2.0, -3.0]])}
    paths = Paths(masks, rows, sites, {}, scores)
    assert paths.masks["a/relu:0"].tolist() == [[True, False, True]]
    assert paths[0].masks["a/relu:0"].tolist() == [[True, False, True]]


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"a/relu:0": torch.ones(2, 4, dtype=torch.bool)}, r"have shape \(2, 4\), \(2, 5\) is needed"),
        ({"a/relu:0": torch.ones(3, 5, dtype=torch.bool)}, r"have shape \(3, 5\), \(2, 5\) is needed"),
        ({"a/relu:0": torch.ones(2, 5)}, r"are torch.float32, torch.bool is needed"),
        ({}, "masks and sites differ: a/relu:0"),
        ({"a/relu:0": torch.ones(2, 5, dtype=torch.bool), "z": torch.ones(2, 5)}, "masks and sites differ: z"),
    ],
)
def test_masks_that_do_not_fit_the_sites_are_refused(masks, message):
    with pytest.raises(PathsError, match=message):
        Paths(masks, Rows.of_classes([0, 1]), sites_of(5), {})


def test_scores_that_are_no_floating_point_numbers_are_refused():
    masks = {"a/relu:0": torch.ones(1, 5, dtype=torch.bool)}
    with pytest.raises(PathsError, match=r"scores of site 'a/relu:0' are torch.int64, floating point is needed"):
        Paths(masks, Rows.of_classes([0]), sites_of(5), {}, {"a/relu:0": torch.ones(1, 5, dtype=torch.int64)})


@pytest.mark.parametrize("asked", [1, -2, "dog"])
def test_row_is_found_by_name_and_position(asked):
    paths = animals()
    row = paths[asked]
    assert (row.rows.names, row.rows.classes) == (("dog",), (3,))
    assert torch.equal(row.masks["b/relu:0"], paths.masks["b/relu:0"][1:2])
    assert torch.equal(row.scores["b/relu:0"], paths.scores["b/relu:0"][1:2])
    assert row.manifest == paths.manifest


def test_position_counts_rows_not_classes():
    paths = animals()
    assert paths[2].rows.classes == (7,)
    with pytest.raises(RowError, match="no row 3; there are 3 rows"):
        paths[3]
    with pytest.raises(RowError, match="no row -4"):
        paths[-4]


def test_slice_gives_the_rows_between():
    assert animals()[1:].rows.names == ("dog", "cow")
    assert animals()[:1].rows.names == ("cat",)
    assert len(animals()[5:]) == 0


def test_iteration_gives_one_row_paths_in_order():
    paths = animals()
    rows = list(paths)
    assert [row.rows.names for row in rows] == [("cat",), ("dog",), ("cow",)]
    assert all(row == paths[position] for position, row in enumerate(rows))


def test_changing_a_rows_tensor_leaves_the_whole_alone():
    paths = animals()
    before = paths.masks["a/relu:0"].clone()
    paths["cat"].masks["a/relu:0"].logical_not_()
    paths[0:2].masks["a/relu:0"].logical_not_()
    assert torch.equal(paths.masks["a/relu:0"], before)


def test_select_keeps_class_rows_in_class_order():
    assert animals().select(["cow", 0]).rows.classes == (0, 7)


def test_select_keeps_input_rows_in_the_order_asked_for():
    paths = make(Rows.of_inputs(4), sites_of(3))
    chosen = paths.select([2, "0", 2])
    assert chosen.rows.names == ("2", "0", "2")
    assert torch.equal(chosen.masks["a/relu:0"], paths.masks["a/relu:0"][[2, 0, 2]])


def test_select_refuses_unknown_positions_and_repeated_classes():
    with pytest.raises(RowError, match="no row 3; there are 3 rows"):
        animals().select([0, 3])
    with pytest.raises(PathsError, match="each class once"):
        animals().select(["cat", 0])


def test_unknown_name_is_answered_with_the_closest_names():
    with pytest.raises(RowError, match=r"no row 'dogg'; closest: dog") as caught:
        animals()["dogg"]
    assert isinstance(caught.value, LookupError)


def test_name_like_no_other_is_answered_with_the_first_names():
    with pytest.raises(RowError, match="no row 'xyz'; closest: cat, dog, cow"):
        animals()["xyz"]


def test_ambiguous_name_asks_for_the_position():
    paths = make(Rows.of_classes([2, 5, 9], ["crane", "ox", "crane"]), sites_of(3))
    with pytest.raises(RowError, match=r"2 rows are named 'crane'; ask by position: \[0, 2\]"):
        paths["crane"]


def test_intersection_and_union_are_channel_by_channel():
    first, second = animals(seed=1), animals(seed=2)
    for site in first.masks:
        a, b = first.masks[site], second.masks[site]
        assert torch.equal((first & second).masks[site], a & b)
        assert torch.equal((first | second).masks[site], a | b)
        assert torch.equal((~first).masks[site], ~a)


def test_set_operations_drop_scores_and_name_themselves():
    first, second = animals(seed=1), animals(seed=2)
    for combined, method in ((first & second, "intersection"), (first | second, "union"), (~first, "complement")):
        assert combined.scores is None
        assert combined.manifest["method"] == method
        assert combined.manifest["seed"] == first.manifest["seed"]
    assert first.scores is not None


@given(any_paths(), st.data())
@settings(deadline=None, max_examples=40)
def test_de_morgan_holds(first, data):
    second = make(first.rows, first.sites, data.draw(st.integers(0, 1000)))
    assert ~(first & second) == ~first | ~second
    assert ~(first | second) == ~first & ~second
    assert masks_equal(~~first, first)


def test_one_row_combines_with_all():
    paths = animals()
    shared = paths & paths["dog"]
    assert shared.rows.kind == "combined"
    assert shared.rows.names[0] == f"{paths.rows.names[0]} & dog"
    assert shared == paths["dog"] & paths
    assert torch.equal(shared.masks["a/relu:0"][0], paths.masks["a/relu:0"][0] & paths.masks["a/relu:0"][1])


def test_the_same_rows_stay_what_they_are():
    paths = animals()
    assert (paths & ~paths).rows == paths.rows


def test_different_rows_are_not_passed_off_as_a_class():
    paths = animals()
    shifted = paths[0:2] | paths[1:3]
    first, second, third = paths.rows.names
    assert shifted.rows.kind == "combined"
    assert shifted.rows.names == (f"{first} | {second}", f"{second} | {third}")
    assert shifted.rows.classes == (-1, -1)


def test_paths_of_two_networks_do_not_combine():
    def of(content):
        network = {"name": "Net", "digest": content, "tensors": {"conv.weight": f"3x3 float32 {content}"}}
        return animals().with_notes(network=network)

    assert (of("a") & of("a")).rows == animals().rows
    with pytest.raises(MismatchError, match=r"conv\.weight"):
        of("a") & of("b")


def test_different_numbers_of_rows_do_not_combine():
    with pytest.raises(PathsError, match="cannot combine 3 rows with 2: give as many, or one"):
        animals() | animals()[:2]


def test_other_sites_do_not_combine():
    other = make(Rows.of_classes([0, 3, 7]), sites_of(5, 9, 2))
    with pytest.raises(PathsError, match="other sites; first difference: c/relu:0"):
        animals() & other
    wider = make(Rows.of_classes([0, 3, 7]), sites_of(5, 10))
    with pytest.raises(PathsError, match="other sites; first difference: their shapes"):
        animals() | wider


def test_paths_do_not_combine_with_anything_else():
    with pytest.raises(TypeError, match="unsupported operand"):
        animals() & {"cat"}


def test_equality_is_about_masks_sites_and_rows():
    assert animals() == animals()
    assert animals() != animals(seed=5)
    assert animals()["cat"] != animals()["dog"]
    assert animals() != "cat"
    renamed = make(Rows.of_classes([0, 3, 7], ["cat", "dog", "ox"]), sites_of(5, 9))
    assert animals() != renamed


@given(any_paths(), st.integers(0, 100))
@settings(deadline=None, max_examples=40)
def test_random_control_keeps_sizes_per_row_and_site(paths, seed):
    control = paths.random_control(seed)
    assert control.scores is None
    for name, mask in paths.masks.items():
        assert torch.equal(control.masks[name].sum(1), mask.sum(1))


def test_random_control_is_keyed_by_seed_and_class():
    paths = make(Rows.of_classes([0, 3, 7], ["cat", "dog", "cow"]), sites_of(40, 40))
    control = paths.random_control(4)
    assert control == paths.random_control(4)
    assert control != paths.random_control(5)
    assert paths[1:].random_control(4) == control[1:]
    assert paths["cow"].random_control(4) == control["cow"]
    assert "seed 4" in control.manifest["method"]


@pytest.mark.parametrize("seed", [0.5, -1, True, "1", None])
def test_random_control_needs_a_whole_number_as_seed(seed):
    paths = make(Rows.of_classes([0, 3, 7]), sites_of(4, 4))
    with pytest.raises(SettingError, match="seed must be a whole number from 0, found"):
        paths.random_control(seed)


def test_random_control_draws_differ_between_rows_and_sites():
    half = torch.arange(40) < 20
    sites = sites_of(40, 40)
    paths = Paths({name: half.repeat(2, 1) for name in sites.names}, Rows.of_classes([0, 1]), sites, {})
    drawn = [mask[row] for mask in paths.random_control().masks.values() for row in (0, 1)]
    assert len({tuple(mask.tolist()) for mask in [half, *drawn]}) == 5


def test_top_ranks_channels_by_score():
    scores = {"a/relu:0": torch.tensor([[0.5, -1.0, 3.0, 0.5]])}
    masks = {"a/relu:0": scores["a/relu:0"] > 0}
    paths = Paths(masks, Rows.of_classes([0], ["cat"]), sites_of(4), {}, scores)
    assert paths["cat"].top("a/relu:0", 3) == [(2, 3.0), (0, 0.5), (3, 0.5)]
    assert len(paths.top("a/relu:0", 10)) == 4


@pytest.mark.parametrize("count", [0, -1])
def test_top_gives_at_least_one_channel(count):
    with pytest.raises(PathsError, match=f"at least one channel, found count {count}"):
        animals()["cat"].top("a/relu:0", count)


def test_top_refuses_many_rows_no_scores_and_unknown_sites():
    with pytest.raises(PathsError, match=r"top\(\) is about one row, there are 3"):
        animals().top("a/relu:0", 2)
    with pytest.raises(PathsError, match="no scores to rank channels by"):
        animals(scores=False)["cat"].top("a/relu:0", 2)
    with pytest.raises(PathsError, match="no site 'b/relu'; closest: b/relu:0"):
        animals()["cat"].top("b/relu", 2)


def test_kept_is_the_share_of_channels():
    sites = sites_of(4, 2)
    masks = {
        "a/relu:0": torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool),
        "b/relu:0": torch.tensor([[0, 0], [1, 0]], dtype=torch.bool),
    }
    paths = Paths(masks, Rows.of_classes([0, 1]), sites, {"method": "by hand"})
    assert paths.kept().tolist() == [[0.25, 0.0], [1.0, 0.5]]
    assert repr(paths) == "Paths: 2 classes (0, 1) x 2 sites, 6 channels, 50.0% kept; by hand"


@pytest.mark.parametrize("duplicate", [lambda paths: pickle.loads(pickle.dumps(paths)), copy.deepcopy])
@pytest.mark.parametrize("scores", [True, False])
def test_paths_survive_pickling_and_copying(duplicate, scores):
    paths = animals(scores)
    again = duplicate(paths)
    assert again == paths
    assert again.manifest == paths.manifest
    assert (again.sites.image_shape, again.sites.dtype) == (paths.sites.image_shape, paths.sites.dtype)
    assert (again.scores is None) is not scores
    assert not scores or all(torch.equal(again.scores[name], score) for name, score in paths.scores.items())
    with pytest.raises(AttributeError, match="frozen"):
        again.rows = None


def test_from_masks_gives_class_or_input_rows(plain):
    names = find_sites(plain, EXAMPLE).names
    masks = {names[1]: torch.ones(2, 6, dtype=torch.bool), names[0]: torch.zeros(2, 4, dtype=torch.bool)}
    classes = Paths.from_masks(masks, plain, EXAMPLE, classes=[0, 2], names=["cat", "dog"])
    inputs = Paths.from_masks(masks, plain, EXAMPLE)
    assert (classes.rows.kind, classes.rows.classes, classes.rows.names) == ("class", (0, 2), ("cat", "dog"))
    assert (inputs.rows.kind, inputs.rows.names) == ("input", ("0", "1"))
    assert list(classes.masks) == list(names)
    assert classes.scores is None
    classes.check(plain)


def test_from_masks_does_not_share_the_masks_it_was_given(plain):
    (name, *_) = find_sites(plain, EXAMPLE).names
    mask = torch.ones(1, 4, dtype=torch.bool)
    paths = Paths.from_masks({name: mask}, plain, EXAMPLE)
    mask[:] = False
    assert paths.masks[name].all()


def test_from_masks_refuses_what_the_network_does_not_have(plain):
    first, second = find_sites(plain, EXAMPLE).names
    with pytest.raises(SiteError, match="no site 'nowhere'"):
        Paths.from_masks({"nowhere": torch.ones(1, 4, dtype=torch.bool)}, plain, EXAMPLE)
    with pytest.raises(PathsError, match=r"have shape \(1, 5\), \(1, 4\) is needed"):
        Paths.from_masks({first: torch.ones(1, 5, dtype=torch.bool)}, plain, EXAMPLE)
    uneven = {first: torch.ones(2, 4, dtype=torch.bool), second: torch.ones(1, 6, dtype=torch.bool)}
    with pytest.raises(PathsError, match=r"have shape \(1, 6\), \(2, 6\) is needed"):
        Paths.from_masks(uneven, plain, EXAMPLE)
    with pytest.raises(PathsError, match=r"have shape \(2, 4\), \(1, 4\) is needed"):
        Paths.from_masks({first: torch.ones(2, 4, dtype=torch.bool)}, plain, EXAMPLE, classes=[1])


def test_check_names_the_first_tensor_that_differs(plain):
    (name, *_) = find_sites(plain, EXAMPLE).names
    paths = Paths.from_masks({name: torch.ones(1, 4, dtype=torch.bool)}, plain, EXAMPLE)
    with torch.no_grad():
        plain.classifier.bias[0] += 1
    with pytest.raises(MismatchError, match=r"\(TinyPlain\): first difference at 'classifier.bias', recorded 3 "):
        paths.check(plain)
    with pytest.raises(MismatchError, match="do not record which network they belong to"):
        animals().check(TinyPlain())
