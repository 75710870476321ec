"""The solver against a naive re-telling, and many classes in one pass against one at a time."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tests.search.problems import prepared_small, reference_of, searched, small_problem, solver_of
from unweave.data.labelled import labelled
from unweave.errors import NumericError
from unweave.randomness import normal, order
from unweave.search.objectives import OBJECTIVES, objective_named
from unweave.search.preparation import prepare

BETA = 0.3
NAMES = tuple(OBJECTIVES)


@pytest.fixture(scope="module")
def small():
    return prepared_small()


@pytest.fixture(scope="module")
def small_single():
    return prepared_small(torch.float32)


class Naive:
    """The search as a reader would write it: one class at a time, two networks with hooks, all losses to autograd."""

    def __init__(self, network, data, name, classes, batch, seed=0, rate=0.1, reconstruction=True):
        self.untouched, self.gated = copy.deepcopy(network), copy.deepcopy(network)
        self.images, self.labels = data.tensors
        self.name, self.batch, self.seed, self.rate = name, batch, seed, rate
        self.reconstruction = float(reconstruction)
        self.classes, self.sites = classes, len(network.site_modules)
        self.channels = [4, 4, 5]
        self.seen, self.made, self.used = [], [], []
        for module in self.untouched.site_modules:
            module.register_forward_hook(lambda module, inputs, output: self.seen.append(output))
        for position, module in enumerate(self.gated.site_modules):
            module.register_forward_hook(lambda module, inputs, output, position=position: self.gate(output, position))
        dtype = self.images.dtype
        self.scores = self.initial("scores", dtype)
        if name == "selective":  # begins with the whole network
            self.scores = [[0.5 + 0.1 * score for score in row] for row in self.scores]
        self.spreads = self.initial("spread", dtype)

    def initial(self, purpose, dtype):
        return [
            [normal(purpose, self.seed, c, i, size=(n,)).to(dtype) for i, n in enumerate(self.channels)]
            for c in self.classes
        ]

    def gate(self, output, position):
        self.made.append(output * self.used[position][:, :, None, None])
        return self.made[-1]

    def run(self, passes):
        for row, c in enumerate(self.classes):
            mine = np.flatnonzero(self.labels.numpy() == c)
            for number in range(passes):
                visited = order(mine, self.seed, c, number)
                # selective's steps become shorter from pass to pass
                share = (1 + math.cos(math.pi * number / passes)) / 2 if self.name == "selective" else 1.0
                for first in range(0, len(visited), self.batch):
                    self.step(row, c, visited[first : first + self.batch], number, share * self.rate)
        return self

    def step(self, row, c, positions, number, rate):
        images = self.images[torch.from_numpy(positions)]
        scores = [score.clone().requires_grad_() for score in self.scores[row]]
        spreads = [spread.clone().requires_grad_() for spread in self.spreads[row]]
        means, sigmas = [torch.sigmoid(s) for s in scores], [functional.softplus(s) for s in spreads]
        self.used = [mean.expand(len(images), -1) for mean in means]
        if self.name == "selective":
            self.used = [(mean > 0.5).to(mean) + mean - mean.detach() for mean in self.used]
        if self.name == "variational-noise":
            keys = [(self.seed, c, number, int(i)) for i in positions]
            noise = torch.stack([normal("noise", *key, size=(sum(self.channels),)) for key in keys]).to(images)
            parts = noise.split(self.channels, 1)
            self.used = [mean + part * sigma for mean, part, sigma in zip(means, parts, sigmas, strict=True)]
        self.seen, self.made = [], []
        plain, answer = self.untouched(images), self.gated(images)
        loss = self.loss(c, plain, answer, means, sigmas)
        if loss is None:
            return
        learned = [*scores, *(spreads if self.name == "variational-noise" else [])]
        tables = [*self.scores[row], *self.spreads[row]]
        stepped = [
            s.detach() - rate * g / max(float(g.norm()), 1e-12)
            for s, g in zip(learned, torch.autograd.grad(loss, learned), strict=True)
        ]
        stepped += tables[len(stepped) :]
        self.scores[row], self.spreads[row] = stepped[: self.sites], stepped[self.sites :]

    def loss(self, c, plain, answer, means, sigmas):
        on, n = self.reconstruction, self.sites
        pairs = list(zip(self.made, self.seen, strict=True))
        cross_entropy = -answer.log_softmax(1)[:, c].mean()
        if self.name == "released":
            right = plain.argmax(1) == c
            if not right.any():
                return None
            errors = sum((h[right] - r[right]).pow(2).mean() for h, r in pairs)
            return (cross_entropy + on * errors + BETA * sum(m.pow(2).mean() for m in means)) / n
        if self.name == "selective":  # of a plan that shows no others
            apart = (answer[:, c] - plain[:, c]) / (1 + plain[:, c].abs())
            error = torch.where(apart.abs() < 0.1, 5 * apart.square(), apart.abs() - 0.05).mean()
            return cross_entropy + on * error + BETA / n * sum(m.mean() for m in means)
        if self.name == "variational":
            terms = [on * (r - h).pow(2) + BETA * h.pow(2) for h, r in pairs]
            return cross_entropy + sum(term.sum((1, 2, 3)).mean() for term in terms)
        if self.name == "literal":
            shaped = [m[:, None, None] for m in means]
            both = zip(shaped, self.seen, strict=True)
            terms = [on * (r - m * r).pow(2) + BETA * (m * r).pow(2) for m, r in both]
            return cross_entropy + sum(term.sum((1, 2, 3)).mean() for term in terms)
        if self.name == "concept-path":
            distances = sum((r - h).pow(2).sum((1, 2, 3)).sqrt().mean() for h, r in pairs)
            answers = (answer - plain).pow(2).sum(1).sqrt().mean()
            return answers + on * distances + BETA * sum(m.sum() for m in means)
        terms = []
        for mean, sigma, r in zip(means, sigmas, self.seen, strict=True):
            mu, s = mean[:, None, None], sigma[:, None, None]
            noise = (r * s).pow(2)
            divergence = BETA / 2 * (noise - (noise + 1e-6).log() + (r * mu).pow(2) - 1)
            terms.append(divergence + on / 2 * ((r - mu * r).pow(2) + noise))
        return cross_entropy + sum(term.sum((1, 2, 3)).mean() for term in terms)


def largest_difference(tables, others):
    return max(float((a - b).abs().max()) for a, b in zip(tables, others, strict=True))


def stacked(rows):
    return [torch.stack(site) for site in zip(*rows, strict=True)]


@pytest.mark.parametrize("reconstruction", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_search_equals_naive_one_in_double_precision(small, name, reconstruction):
    prepared, images, network = small
    objective = objective_named(name, BETA, reconstruction=reconstruction)
    found = searched(prepared, images, objective, (0, 1, 2, 3), passes=2)
    naive = Naive(network, images.dataset, name, (0, 1, 2, 3), 4, reconstruction=reconstruction).run(2)
    assert largest_difference(found.scores, stacked(naive.scores)) < 1e-10
    if objective.noisy:
        assert largest_difference(found.spreads, stacked(naive.spreads)) < 1e-10


@pytest.mark.parametrize("name", NAMES)
def test_one_step_of_two_classes_equals_naive_one_in_single_precision(small_single, name):
    prepared, images, network = small_single
    found = searched(prepared, images, objective_named(name, BETA), (0, 2), passes=1, batch=16)
    naive = Naive(network, images.dataset, name, (0, 2), 16).run(1)
    assert found.steps.tolist() == [1, 1]
    assert largest_difference(found.scores, stacked(naive.scores)) < 1e-5


@pytest.mark.parametrize("rate", [0.1, 2.5])
@pytest.mark.parametrize("name", NAMES)
def test_step_has_length_of_rate_per_row_and_site(small, name, rate):
    prepared, images, _ = small
    solver = solver_of(prepared, images, objective_named(name, BETA), (0, 1, 2), rate=rate)
    before = [score.clone() for score in (*solver.scores, *(solver.spreads or ()))]
    batch = [(row, solver.images[row][:5]) for row in range(3)]
    solver.step(batch, reference_of(prepared, images, np.concatenate([part for _, part in batch])), 0)
    for old, new in zip(before, (*solver.scores, *(solver.spreads or ())), strict=True):
        assert (new - old).norm(dim=1).tolist() == pytest.approx([rate] * 3, rel=1e-9)


def test_initial_scores_belong_to_seed_class_and_site(small):
    prepared, images, _ = small
    objective = objective_named("released", BETA)
    solver = solver_of(prepared, images, objective, (1, 3), seed=4)
    for site, score in enumerate(solver.scores):
        channels = prepared.sites[site].channels
        expected = torch.stack([normal("scores", 4, c, site, size=(channels,)) for c in (1, 3)]).double()
        assert torch.equal(score, expected)
    assert solver.spreads is None


# --- many classes in one pass equal one class at a time


@pytest.mark.parametrize("name", NAMES)
def test_classes_together_equal_classes_alone(small, name):
    prepared, images, _ = small
    objective = objective_named(name, BETA)
    together = searched(prepared, images, objective)
    for row, c in enumerate(t.key for t in together.plan.targets):
        alone = searched(prepared, images, objective, (c,))
        assert largest_difference([score[[row]] for score in together.scores], alone.scores) < 1e-12
        for mine, others in zip(together.scores, alone.scores, strict=True):
            assert torch.equal(mine[[row]] > 0, others > 0)
        assert together.steps[row] == alone.steps[0]


def test_condition_a_class_without_correct_images_makes_no_step(small):
    prepared, images, network = small
    with torch.no_grad():
        answers = network(images.images(range(len(images)))).argmax(1).numpy()
    assert not (answers[images.labels == 3] == 3).any()
    objective = objective_named("released", 4.5)  # a penalty that would move the row by itself
    before = [score.clone() for score in solver_of(prepared, images, objective).scores]
    solver = searched(prepared, images, objective)
    assert solver.steps[3] == 0
    assert (solver.steps[:3] > 0).all()
    for old, new in zip(before, solver.scores, strict=True):
        assert torch.equal(old[3], new[3])
        assert (old[:3] != new[:3]).all()


def test_condition_a_holds_batch_by_batch(small):
    prepared, images, network = small
    with torch.no_grad():
        right = (network(images.images(range(len(images)))).argmax(1).numpy()) == images.labels
    solver = solver_of(prepared, images, objective_named("released", BETA), (1,))
    wrong = solver.images[0][~right[solver.images[0]]]
    before = [score.clone() for score in solver.scores]
    solver.step([(0, wrong)], reference_of(prepared, images, wrong), 0)
    assert len(wrong) == 3
    assert all(torch.equal(a, b) for a, b in zip(before, solver.scores, strict=True))
    assert solver.steps.tolist() == [0]
    some = solver.images[0]
    solver.step([(0, some)], reference_of(prepared, images, some), 0)
    assert solver.steps.tolist() == [1]


@pytest.mark.parametrize("name", NAMES)
def test_condition_b_losses_are_averaged_per_class(small, name):
    prepared, images, _ = small
    objective = objective_named(name, BETA)

    def step(batch):
        solver = solver_of(prepared, images, objective, (0, 1))
        solver.step(batch, reference_of(prepared, images, np.concatenate([part for _, part in batch])), 0)
        return solver.scores

    first, second = (solver_of(prepared, images, objective, (0, 1)).images[c] for c in (0, 1))
    once = step([(0, first[:2])])
    # every image twice, and beside a class with three times as many images
    twice = step([(0, np.tile(first[:2], 2))])
    beside = step([(0, first[:2]), (1, second[:6])])
    for a, b, c in zip(once, twice, beside, strict=True):
        assert torch.allclose(a[0], b[0], rtol=0, atol=1e-12)
        assert torch.allclose(a[0], c[0], rtol=0, atol=1e-12)
        assert not torch.equal(b[1], c[1])


@pytest.mark.parametrize("rows_per_batch", [1, 2, 4])
def test_condition_c_mini_batches_do_not_depend_on_other_classes(small, rows_per_batch):
    prepared, images, _ = small
    objective = objective_named("released", BETA)

    def of_class(c, classes):
        solver = solver_of(prepared, images, objective, classes, rows_per_batch=min(rows_per_batch, len(classes)))
        row = classes.index(c)
        return [part.tolist() for batch in solver.batches(1) for owner, part in batch if owner == row]

    for c in range(4):
        alone = of_class(c, (c,))
        assert alone == of_class(c, (0, 1, 2, 3))
        visited = order(np.flatnonzero(images.labels == c), 0, c, 1)
        assert [i for part in alone for i in part] == visited.tolist()
        assert [len(part) for part in alone[:-1]] == [4] * (len(alone) - 1)


@pytest.mark.parametrize("name", ["released", "variational-noise"])
def test_condition_c_augmentation_and_noise_do_not_depend_on_other_classes(small, name):
    prepared, images, _ = small
    objective = objective_named(name, BETA)
    together = searched(prepared, images, objective, augment="published")
    alone = searched(prepared, images, objective, (1,), augment="published")
    assert largest_difference([score[[1]] for score in together.scores], alone.scores) < 1e-12
    unchanged = searched(prepared, images, objective, (1,))
    assert largest_difference(alone.scores, unchanged.scores) > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_condition_d_absent_rows_keep_their_bytes(small, name):
    prepared, images, _ = small
    solver = searched(prepared, images, objective_named(name, BETA), (0, 1, 2))
    tables = [*solver.scores, *(solver.spreads or ())]
    before = [table.clone() for table in tables]
    positions = solver.images[1][:4]
    solver.step([(1, positions)], reference_of(prepared, images, positions), 7)
    for old, new in zip(before, tables, strict=True):
        assert torch.equal(old[[0, 2]], new[[0, 2]])
        assert not torch.equal(old[1], new[1])


# --- what does not matter


@pytest.mark.parametrize("rows_per_batch", [1, 2, 3])
def test_rows_per_batch_does_not_matter(small, rows_per_batch):
    prepared, images, _ = small
    objective = objective_named("released", BETA)
    found = searched(prepared, images, objective, rows_per_batch=rows_per_batch)
    assert largest_difference(found.scores, searched(prepared, images, objective).scores) < 1e-12


@pytest.mark.parametrize("name", ["released", "concept-path", "variational-noise"])
def test_kept_activations_do_not_matter(small, name):
    prepared, images, _ = small
    objective = objective_named(name, BETA)
    kept = searched(prepared, images, objective, kept=True)
    assert kept.store.full
    assert largest_difference(kept.scores, searched(prepared, images, objective, kept=False).scores) < 1e-12


def test_same_plan_gives_same_bytes(small_single):
    prepared, images, _ = small_single
    objective = objective_named("variational-noise", BETA)
    first = searched(prepared, images, objective, augment="published")
    torch.manual_seed(99)
    np.random.seed(99)
    second = searched(prepared, images, objective, augment="published")
    assert all(torch.equal(a, b) for a, b in zip(first.scores, second.scores, strict=True))


def test_other_seed_gives_other_scores(small):
    prepared, images, _ = small
    objective = objective_named("released", BETA)
    first, second = (searched(prepared, images, objective, seed=seed, passes=1) for seed in (0, 1))
    assert all((a != b).all() for a, b in zip(first.scores, second.scores, strict=True))


def test_augmentation_differs_between_seeds_and_passes(small):
    prepared, images, _ = small
    objective = objective_named("released", BETA)

    def seen(number, seed=0):
        solver, found = solver_of(prepared, images, objective, (0,), augment="published", seed=seed, batch=16), []
        solver.step = lambda batch, reference, number: found.append((batch[0][1], reference.images)) or torch.zeros(())
        solver.run_pass(number)
        positions, pictures = found[0]
        return pictures[torch.from_numpy(np.argsort(positions))]

    assert torch.equal(seen(0), seen(0))
    assert not torch.equal(seen(0), seen(1))
    assert not torch.equal(seen(0), seen(0, seed=1))
    assert seen(0).shape == (9, 3, 6, 6)


def test_bfloat16_gates_stay_close_to_single_precision(small_single):
    prepared, images, _ = small_single
    objective = objective_named("released", BETA)
    wide = searched(prepared, images, objective, (0, 1, 2), passes=5, batch=16)
    narrow = searched(prepared, images, objective, (0, 1, 2), passes=5, batch=16, precision="bfloat16")
    for a, b in zip(wide.scores, narrow.scores, strict=True):
        assert b.dtype == torch.float32
        # bfloat16 has 8 bits; five steps of 0.1 whose directions are off by a few per cent
        assert (torch.sigmoid(a) - torch.sigmoid(b)).abs().max() < 0.02
        assert not torch.equal(a, b)


def test_vectors_can_be_sites():
    class Layers(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))

    network = Layers().double()
    points = torch.randn(12, 6, dtype=torch.float64)
    images = labelled(TensorDataset(points, network(points).argmax(1)))
    prepared = prepare(network, images, "filter", None, None)
    assert [site.shape for site in prepared.sites] == [(5,), (4,)]
    solver = searched(prepared, images, objective_named("released", BETA), images.classes)
    assert (solver.steps > 0).all()
    alone = searched(prepared, images, objective_named("released", BETA), images.classes[:1])
    assert largest_difference([score[:1] for score in solver.scores], alone.scores) < 1e-12


# --- the rest of its contract


def test_network_is_left_as_it_was():
    network, data = small_problem()
    network.train()
    kept = copy.deepcopy(network.state_dict())
    images = labelled(data)
    searched(prepare(network, images, "block", None, None), images, objective_named("released", BETA), passes=1)
    assert network.training
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in kept.items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_after_batch_hears_class_loss_of_first_batch(small):
    prepared, images, _ = small
    solver, heard = solver_of(prepared, images, objective_named("released", BETA), (0, 1, 2)), []
    solver.run_pass(0, after_batch=lambda done, loss: heard.append(loss))
    assert len(heard) == len(solver.batches(0))
    assert math.isfinite(heard[0])
    assert all(math.isnan(loss) for loss in heard[1:8])


def test_endless_rate_is_reported_with_site(small):
    prepared, images, _ = small
    solver = solver_of(prepared, images, objective_named("released", BETA), (0,), rate=math.inf)
    with pytest.raises(NumericError, match=r"gradient at site 'relu_a/relu:0' is NaN or infinite; lower beta or rate"):
        solver.run_pass(0)


@pytest.mark.parametrize("rows_per_batch", [1, 3])
def test_measure_averages_over_correct_images_of_each_row(small, rows_per_batch):
    prepared, images, network = small
    solver = solver_of(prepared, images, objective_named("released", 5.0), (0, 1, 3), rows_per_batch=rows_per_batch)
    naive = Naive(network, images.dataset, "released", (0, 1, 3), 4)
    errors, sizes = [], []
    for row, c in ((0, 0), (1, 1)):  # class 3 is never right
        mine = naive.images[naive.labels == c]
        mine = mine[network(mine).argmax(1) == c]
        means = [torch.sigmoid(score[row]) for score in solver.scores]
        naive.used, naive.seen, naive.made = [mean.expand(len(mine), -1) for mean in means], [], []
        naive.untouched(mine), naive.gated(mine)
        errors.append(sum(float((h - r).detach().pow(2).mean()) for h, r in zip(naive.made, naive.seen, strict=True)))
        sizes.append(sum(float(mean.pow(2).mean()) for mean in means))
    found = solver.measure()
    assert found == pytest.approx(np.array([errors, sizes]).T, rel=1e-10)


def test_measure_weighs_power_of_gated_activations_for_variational(small):
    prepared, images, network = small
    solver = solver_of(prepared, images, objective_named("variational", 5.0), (2,))
    naive = Naive(network, images.dataset, "variational", (2,), 4)
    mine = naive.images[naive.labels == 2]
    naive.used = [torch.sigmoid(score).expand(len(mine), -1) for score in solver.scores]
    naive.untouched(mine), naive.gated(mine)
    error = sum(float((h - r).detach().pow(2).sum()) for h, r in zip(naive.made, naive.seen, strict=True)) / len(mine)
    size = sum(float(h.detach().pow(2).sum()) for h in naive.made) / len(mine)
    assert solver.measure() == pytest.approx(np.array([[error, size]]), rel=1e-10)


def test_measure_leaves_out_rows_without_correct_images(small):
    prepared, images, _ = small
    found = solver_of(prepared, images, objective_named("released", BETA), (0, 3)).measure()
    assert found.shape == (1, 2)
    assert solver_of(prepared, images, objective_named("released", BETA), (3,)).measure().shape == (0, 2)
