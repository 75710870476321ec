"""The twins of `benchmarks.connections`: alike in everything but the connection; and how findings are judged."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from benchmarks import connection_figure, connection_tables
from benchmarks.connection_findings import OBJECTIVES, STATEMENTS, best_of, early, falls, findings, judged, late
from benchmarks.twins import KINDS, Unit, parameters, sites_of, twin

SMALL = {"width": 4, "units": 1}
ROOT = Path(__file__).parents[2]
IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16)


@pytest.fixture(scope="module")
def twins():
    return {kind: twin(kind, 0, **SMALL).eval() for kind in KINDS}


@pytest.mark.parametrize("sizes", [{"width": 15, "units": 2}, {"width": 12, "units": 3}, {"width": 32, "units": 3}])
def test_twins_have_equally_many_parameters_within_three_percent(sizes):
    counts = [parameters(twin(kind, 0, **sizes)) for kind in KINDS]
    assert counts[0] == counts[1]
    assert abs(counts[2] / counts[0] - 1) < 0.03


def test_units_of_all_kinds_have_equally_many_weights():
    counts = {
        kind: sum(one.weight.numel() for one in twin(kind, 0, width=12).modules() if one_of_a_unit(one))
        for kind in KINDS
    }
    assert len(set(counts.values())) == 1


def one_of_a_unit(module):
    return isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3)


def test_twins_have_the_same_sites_in_number_and_position(twins):
    found = {kind: sites_of(network, IMAGES) for kind, network in twins.items()}
    shapes = {kind: [site.shape[1:] for site in sites] for kind, sites in found.items()}
    assert shapes["plain"] == shapes["residual"] == shapes["dense"]
    assert [site.channels for site in found["plain"]] == [4, 4, 8, 8, 16, 16]
    assert [site.channels for site in found["residual"]] == [4, 4, 8, 8, 16, 16]
    assert [site.channels for site in found["dense"]] == [4, 8, 8, 16, 16, 32]


def test_every_twin_maps_images_to_ten_scores(twins):
    assert [tuple(network(IMAGES).shape) for network in twins.values()] == [(2, 10)] * 3


def test_a_plain_unit_passes_nothing_on_a_residual_adds_a_dense_concatenates():
    values = torch.rand(2, 4, 5, 5)
    computed = {}
    for kind, made in (("plain", 4), ("residual", 4), ("dense", 2)):
        torch.manual_seed(0)
        unit = Unit(kind, 4, 4, made).eval()
        computed[kind] = (unit(values), unit.inner(values))
    out, inner = computed["plain"]
    assert torch.equal(out, functional.relu(inner))
    out, inner = computed["residual"]
    assert torch.equal(out, functional.relu(values + inner))
    out, inner = computed["dense"]
    assert torch.equal(out[:, :4], values)
    assert torch.equal(out[:, 4:], functional.relu(inner))


def test_a_twin_is_a_function_of_its_seed_and_leaves_the_random_state():
    before = torch.random.get_rng_state()
    first, same, other = (twin("plain", seed, **SMALL).classifier.weight for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


HITS = {"plain": {"hit_rate": [[0.2, 0.3, 0.4, 0.6], [0.2, 0.3, 0.5, 0.4]]}}
"""The last site is best in the first search, the one before in the second."""


def test_the_best_site_of_one_search_is_judged_on_the_other():
    assert best_of(HITS["plain"], slice(None)) == pytest.approx((0.4 + 0.4) / 2)


def test_disentanglement_ends_early_if_an_earlier_site_beats_the_last():
    assert early("plain")(HITS) == pytest.approx((0.5 + 0.4) / 2 - (0.4 + 0.6) / 2)


def test_it_ends_late_if_one_of_the_last_two_beats_the_others():
    assert late("plain")(HITS) == pytest.approx(0.4 - 0.3)


def test_a_measure_falls_if_the_first_third_of_the_sites_is_above_the_last():
    assert falls("plain", "usage")({"plain": {"usage": [0.9, 0.7, 0.1, 0.1, 0.5, 0.3]}}) == pytest.approx(0.8 - 0.4)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([0.2], "as the papers say with every seed"),
        ([0.2, 0.21], "as the papers say with every seed, beyond the seeds' spread"),
        ([0.1, 0.9], "as the papers say with every seed, within the seeds' spread"),
        ([-0.2, -0.21], "against the papers with every seed, beyond the seeds' spread"),
        ([-0.2, 0.2], "seeds disagree, or show no difference"),
        ([0.2, 1e-9], "seeds disagree, or show no difference"),
        ([0.2, float("nan")], "not to be measured with every seed"),
    ],
)
def test_what_is_found_is_said_for_all_seeds_and_against_their_spread(values, found):
    assert judged(values)["found"] == found


def test_the_interval_over_two_seeds_is_students():
    assert judged([1.0, 2.0])["interval"] == pytest.approx([1.5 - 12.706 * 0.5, 1.5 + 12.706 * 0.5], abs=1e-3)


def network_of(kind, seed):
    """A network's measures: all equal, but the residual one's score."""
    masks = {"score": 0.001 if kind == "residual" else 0.003}
    search = {
        "sites": ["parts.stem.2/relu:0", "parts.unit11/relu:0", "parts.unit12/relu:0"],
        "as_found": masks,
        "half": masks,
        "variance_of_similarities": {"as_found": 0.002, "half": 0.001},
        "usage": [0.9, 0.6, 0.5],
        "similarity": [0.9, 0.6, 0.5],
        "similarity_half": [0.5, 0.5, 0.5],
        "hit_rate": [0.25, 0.3, 0.4],
        "agreement": {"groups and tree, cophenetic correlation": 0.5},
    }
    own = {f"{objective}_stability": {"self_similarity": [0.9, 0.8, 0.7]} for objective in OBJECTIVES}
    return {"kind": kind, "seed": seed, **own, **{objective: [search, search] for objective in OBJECTIVES}}


def test_every_statement_is_judged_for_every_objective_from_one_value_a_seed():
    found = findings([network_of(kind, seed) for seed in (0, 1) for kind in KINDS])
    assert len(found) == len(OBJECTIVES) * len(STATEMENTS)
    first = found[0]
    assert first["tested"].startswith("score, plain - residual")
    assert first["by_seed"] == pytest.approx([2.0, 2.0])
    assert first["found"].startswith("as the papers say")
    json.dumps(found, allow_nan=False)


def test_the_figure_is_drawn_from_the_kept_result_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(connection_figure, "IMAGES", tmp_path)
    networks = [network_of(kind, seed) for seed in (0, 1) for kind in KINDS]
    result = {"top1": {kind: [0.6, 0.7] for kind in KINDS}, "raw": {"networks": networks}}
    file = connection_figure.draw(json.loads(json.dumps(result)), "small")
    assert file.read_bytes()[:4] == b"\x89PNG"


def test_the_page_has_the_tables_and_the_budget_of_the_kept_result():
    result = json.loads((ROOT / "benchmarks/results/connections.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/connections.md").read_text(encoding="utf-8")
    for section in (connection_tables.twins, connection_tables.searches, connection_tables.statements):
        assert "\n".join(section([result])) in page
    spent = result["budget"]
    assert (
        f"for {spent['epochs']} epochs on the first {spent['images']:,} training images, without augment"
        in " ".join(page.split())
    )


def test_the_budget_says_the_schedule_and_how_far_it_got():
    spent = {"epochs": 3, "images": 45_000, "augment": "cifar", "momentum": 0.9, "batch": 32, "rate": 0.1}
    spent |= {"decay_at": [0.5, 0.75], "decay": 0.1}
    said = connection_tables.budget({"budget": spent, "top1": {"plain": [0.5, 0.61], "dense": [0.7]}, "seeds": [0, 1]})
    assert "3 epochs on the first 45,000 training images, with augmentation `cifar`" in said
    assert "batches of 32, rate 0.1, times 0.1 when 50 and 75 % of the epochs are over" in said
    assert said.endswith("reached a top-1 of 50 to 70 % over 2 training seeds.")
