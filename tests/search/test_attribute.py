"""Attribution along the gates, against answers worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.search.interrupted import Countdown, Stopped
from tests.search.problems import small_problem
from unweave.data.labelled import labelled
from unweave.errors import DataError, PathsError, RunError, SettingError
from unweave.network.tapping import Multiplier
from unweave.runs.folder import RunFolder
from unweave.search import attribution_scores as attribution_scores_module
from unweave.search import attributor
from unweave.search.attribute import attribute
from unweave.search.attribution import Attribution
from unweave.search.attribution_scores import Question, attribution_scores
from unweave.search.preparation import prepare
from unweave.search.targets import Target


class TwoLayers(nn.Module):
    """`z = W (V x)`, without a bias: sites of 2 channels after V."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.first.weight.data = torch.eye(2, dtype=torch.float64)
        self.last.weight.data = torch.tensor([[1.0, -2.0], [3.0, 0.5]], dtype=torch.float64)

    def forward(self, values):
        return self.last(self.first(values))


def two_layers():
    """Class 0 has the image (2, 1), class 1 the images (1, 1) and (3, -1)."""
    images = torch.tensor([[2.0, 1.0], [1.0, 1.0], [3.0, -1.0]], dtype=torch.float64)
    return TwoLayers(), TensorDataset(images, torch.tensor([0, 1, 1]))


@pytest.mark.parametrize("steps", [1, 3])
def test_linear_network_gives_each_channel_its_weight_times_its_value(steps):
    network, data = two_layers()
    paths = attribute(network, data, "filter", steps=steps, of="logit")
    (found,) = paths.scores.values()
    # class 0 on (2, 1): 1 * 2, -2 * 1; class 1 on (1, 1) and (3, -1): 3 * 2, 0.5 * 0
    assert found.numpy() == pytest.approx(np.array([[2.0, -2.0], [6.0, 0.0]]))


def test_unsigned_takes_the_mean_of_absolute_values_of_images():
    network, data = two_layers()
    (found,) = attribute(network, data, "filter", of="logit", signed=False).scores.values()
    # the second channel gives class 1 once 0.5, once -0.5
    assert found.numpy() == pytest.approx(np.array([[2.0, 2.0], [6.0, 0.5]]))


def test_over_all_asks_images_of_every_class():
    network, data = two_layers()
    (found,) = attribute(network, data, "filter", of="logit", over="all", signed=False).scores.values()
    # class 0: (2 + 1 + 3) / 3, 2 * (1 + 1 + 1) / 3; class 1: 3 * 6 / 3, 0.5 * 3 / 3
    assert found.numpy() == pytest.approx(np.array([[2.0, 2.0], [6.0, 0.5]]))


@pytest.mark.parametrize("of", ["logit", "class_probability"])
def test_attributions_of_all_channels_add_up_to_the_difference_between_open_and_closed(of):
    network, data = small_problem()
    images = labelled(data)
    prepared = prepare(network, images, "block", None, None)
    question, target = Question(500, of), Target((1,))
    pictures = images.images([0, 5, 9])
    found = attribution_scores(prepared, pictures, [target], torch.ones(1, 3, dtype=torch.bool), question)

    def answer(gate):
        gates = [torch.full((site.channels,), gate, dtype=torch.float64) for site in prepared.sites]
        with torch.no_grad():
            return question.answer(target, prepared.tapped(pictures, Multiplier(prepared.sites, gates))).sum()

    assert float(found.sum()) == pytest.approx(float(answer(1.0) - answer(0.0)), rel=1e-2)


def test_eight_steps_come_closer_than_one():
    network, data = small_problem()
    fine = attribute(network, data, steps=256)

    def distance(steps):
        other = attribute(network, data, steps=steps)
        return sum(float((other.scores[name] - table).abs().sum()) for name, table in fine.scores.items())

    assert distance(8) < 0.5 * distance(1)


def test_taking_gradients_at_another_scale_changes_no_digit(monkeypatch):
    network, data = small_problem(torch.float32)
    scaled = attribute(network, data)
    monkeypatch.setattr(attribution_scores_module, "_SCALE", 1.0)
    plain = attribute(network, data)
    assert all(torch.equal(scaled.scores[name], table) for name, table in plain.scores.items())


def test_mixed_precision_finds_nearly_the_same_and_is_recorded():
    network, data = small_problem(torch.float32)
    wide, narrow = attribute(network, data), attribute(network, data, precision="bfloat16")
    for name, table in wide.scores.items():
        # bfloat16 has 8 bits; errors of single gradients mostly cancel in the mean over images
        assert narrow.scores[name].numpy() == pytest.approx(table.numpy(), abs=0.05 * float(table.abs().max()))
        assert not torch.equal(narrow.scores[name], table)
    assert narrow.manifest["settings"]["precision"] == "bfloat16"


def test_a_run_in_another_precision_is_not_gone_on_with(tmp_path):
    network, data = small_problem(torch.float32)
    attribute(network, data, precision="bfloat16", run=tmp_path / "run")
    with pytest.raises(RunError, match="begun with precision = 'bfloat16', this call has 'float32'"):
        attribute(network, data, run=tmp_path / "run")


class HalfInside(TwoLayers):
    """The same in float32, but what enters the last layer passes through float16, which has no 2 ** 64."""

    def __init__(self):
        super().__init__()
        self.float()

    def forward(self, values):
        return self.last(self.first(values).to(torch.float16).to(torch.float32))


def test_float16_inside_a_network_has_finite_gradients():
    _, data = two_layers()
    data = TensorDataset(data.tensors[0].float(), data.tensors[1])
    (found,) = attribute(HalfInside(), data, "filter", of="logit").scores.values()
    assert found.numpy() == pytest.approx(np.array([[2.0, -2.0], [6.0, 0.0]]))


@pytest.mark.parametrize("over", ["own", "all"])
def test_rows_and_batches_do_not_see_each_other(over):
    network, data = small_problem()
    together = attribute(network, data, over=over, signed=False)
    alone = attribute(network, data, over=over, signed=False, classes=[2], batch=3)
    for name, table in alone.scores.items():
        assert torch.allclose(table[0], together.scores[name][2], rtol=0, atol=1e-12)


def test_share_keeps_the_highest_scores_of_each_site():
    network, data = small_problem()
    paths = attribute(network, data, keep=0.5)
    for name, mask in paths.masks.items():
        assert (mask.sum(1) == round(mask.shape[1] / 2)).all()
        scores = paths.scores[name]
        lowest = scores.masked_fill(~mask, torch.inf).amin(1)
        assert (lowest >= scores.masked_fill(mask, -torch.inf).amax(1)).all()


def test_paths_lend_their_sizes():
    network, data = small_problem()
    sizes = attribute(network, data, threshold=0.3)
    found = attribute(network, data, steps=1, of="logit", keep=sizes)
    assert all(torch.equal(mask.sum(1), sizes.masks[name].sum(1)) for name, mask in found.masks.items())
    with pytest.raises(PathsError, match="keep has other sites or rows"):
        attribute(network, data, classes=[0, 1], keep=sizes)


def test_threshold_keeps_scores_above_a_share_of_the_highest():
    network, data = two_layers()
    (mask,) = attribute(network, data, "filter", of="logit", signed=False, threshold=0.1).masks.values()
    # class 0: 2 and 2, class 1: 6 and 0.5
    assert mask.tolist() == [[True, True], [True, False]]
    (mask,) = attribute(network, data, "filter", of="logit", threshold=0.0).masks.values()
    assert mask.tolist() == [[True, False], [True, False]]


def test_a_group_is_asked_about_as_one_class():
    network, data = small_problem()
    paths = attribute(network, data, groups={"both": [0, 1]}, classes=[2])
    assert paths.rows.names == ("2", "both")
    assert paths.rows.members == ((2,), (0, 1))


@pytest.fixture
def attributions(monkeypatch):
    """Counts batches that are attributed, and stops before one."""
    countdown = Countdown()
    monkeypatch.setattr(attributor, "attribution_scores", countdown.wrapped(attributor.attribution_scores))
    return countdown


def test_run_goes_on_to_the_same_bytes(attributions, tmp_path):
    network, data = small_problem()
    whole = attribute(network, data, batch=8)

    def go_on(seconds_between_saves):
        return Attribution(
            network,
            labelled(data),
            "block",
            Question(),
            batch=8,
            folder=RunFolder(tmp_path / "run"),
            seconds_between_saves=seconds_between_saves,
        ).run()

    total = attributions.restart(stop_at=2)
    with pytest.raises(Stopped):
        go_on(0.0)
    attributions.restart()
    resumed = go_on(1e9)
    assert attributions.restart() == total - 2
    assert all(torch.equal(table, whole.scores[name]) for name, table in resumed.scores.items())
    with pytest.raises(RunError, match="steps"):
        attribute(network, data, batch=8, steps=2, run=tmp_path / "run")


def test_an_attribution_kept_by_another_run_is_refused(attributions, tmp_path):
    network, data = small_problem()
    folder = RunFolder(tmp_path / "run")
    attributions.restart(stop_at=1)
    settings = {"batch": 8, "folder": folder, "seconds_between_saves": 0.0}
    with pytest.raises(Stopped):
        Attribution(network, labelled(data), "block", Question(), **settings).run()
    folder.checkpoints.save("attribute", {"batches": 1, "damaged": []}, {"totals": np.zeros((1, 2))})
    attributions.restart()
    with pytest.raises(RunError, match=r"what was kept of attribute is not of this run .* give another folder"):
        Attribution(network, labelled(data), "block", Question(), **settings).run()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be a whole number from 1"),
        ({"of": "loss"}, "of must be 'class_probability' or 'logit'"),
        ({"over": "some"}, "over must be 'own' or 'all'"),
        ({"keep": 0.0}, "keep must be a share above 0"),
        ({"threshold": 1.0}, "threshold must be a share from 0"),
        ({"keep": 0.5, "threshold": 0.1}, "either keep"),
        ({"limit_per_class": 0}, "limit_per_class must be a whole number from 1, found 0"),
        ({"limit_per_class": 1.5}, "limit_per_class must be a whole number from 1, found 1.5"),
        ({"seed": -1}, "seed must be a whole number from 0, found -1"),
        ({"precision": "float16"}, "no precision 'float16'; there are float32, bfloat16"),
        ({"precision": "bfloat16"}, "precision bfloat16 needs a float32 network"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    network, data = two_layers()
    with pytest.raises(SettingError, match=message):
        attribute(network, data, "filter", **settings)


def test_absent_class_is_refused():
    network, data = two_layers()
    with pytest.raises(DataError, match="no images of class 5"):
        attribute(network, data, "filter", classes=[5])
