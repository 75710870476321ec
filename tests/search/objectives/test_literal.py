"""ICCV Eq. 13 read literally."""

from dataclasses import dataclass

import pytest
import torch

from tests.search.problems import prepared_small, searched
from unweave.search.objectives.literal import Literal


@dataclass(frozen=True)
class Silenced(Literal):
    """Without a class term."""

    def class_term(self, scores, reference, labels):
        return scores.new_zeros(len(scores))


@pytest.fixture(scope="module")
def small():
    return prepared_small()[:2]


def test_local_term_weighs_untouched_power():
    reference = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]], dtype=torch.float64)
    gate = torch.tensor([0.5, 0.2], dtype=torch.float64)[None, :, None, None]
    # channel 1: power 5, 5 * (1/4 + 2 * 1/4); channel 2: power 9, 9 * (0.64 + 2 * 0.04)
    expected = 5 * (0.25 + 0.5) + 9 * (0.64 + 0.08)
    assert Literal(2.0).local_term(reference, gate, None).tolist() == pytest.approx([expected])
    without = 5 * 0.5 + 9 * 0.08
    found = Literal(2.0, reconstruction=False).local_term(reference, gate, None)
    assert found.tolist() == pytest.approx([without])


def test_chain_is_not_read():
    with pytest.raises(TypeError, match="literal has no term on the gated chain"):
        Literal(1.0).chain_term(torch.ones(1, 2), torch.ones(1, 2))
    with pytest.raises(TypeError, match="literal has no term on the gated chain"):
        Literal(1.0).chain_slopes(torch.ones(1, 2), torch.ones(1, 2))


@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0])
def test_gradient_is_zero_at_one_over_one_plus_beta(beta):
    reference = torch.randn(4, 5, 3, 3, dtype=torch.float64)
    gate = torch.full((5,), 1 / (1 + beta), dtype=torch.float64, requires_grad=True)
    loss = Literal(beta).local_term(reference, gate[:, None, None], None).sum()
    (gradient,) = torch.autograd.grad(loss, gate)
    assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize("gate", [0.0, 0.3, 1.0])
def test_dead_channel_has_zero_gradient_at_any_gate(gate):
    reference = torch.randn(4, 2, 3, 3, dtype=torch.float64)
    reference[:, 1] = 0
    gates = torch.full((2,), gate, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(Literal(0.7).local_term(reference, gates[:, None, None], None).sum(), gates)
    assert gradient[1] == 0
    assert gradient[0] != 0


@pytest.mark.parametrize(("beta", "kept"), [(0.1, True), (10.0, False)])
def test_search_keeps_all_below_one_and_drops_all_above(small, beta, kept):
    found = searched(*small, Silenced(beta), batch=16, passes=50, rate=0.3)
    masks = torch.cat([score > 0 for score in found.scores], 1)
    assert bool((masks == kept).all())
