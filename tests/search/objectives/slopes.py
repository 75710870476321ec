"""What the tests of chain terms share."""

import torch
from hypothesis import strategies as st


@st.composite
def activations(draw):
    """`(gated, reference)` in double precision, `[batch, channels]` or `[batch, channels, height, width]`."""
    shape = draw(st.lists(st.integers(1, 3), min_size=2, max_size=2))
    shape += draw(st.sampled_from([[], [1, 1], [2, 3]]))
    count = int(torch.tensor(shape).prod())
    eighths = st.lists(st.integers(-80, 80), min_size=count, max_size=count)
    gated, reference = (torch.tensor(draw(eighths), dtype=torch.float64).view(shape) / 8 for _ in range(2))
    return gated, reference


def difference_from_autograd(objective, gated, reference):
    """Largest difference of `a h - b r` from autograd's gradient of `chain_term` by `h`."""
    leaf = gated.clone().requires_grad_()
    (expected,) = torch.autograd.grad(objective.chain_term(leaf, reference).sum(), leaf)
    by_gated, by_reference = (
        torch.as_tensor(slope, dtype=torch.float64).reshape(-1, *[1] * (gated.ndim - 1))
        for slope in objective.chain_slopes(gated, reference)
    )
    return float((by_gated * gated - by_reference * reference - expected).abs().max())
