"""Where the channels of a value are, after each kind of operation; images `[batch, 4, 6, 8]` unless told."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from unweave.errors import CaptureError
from unweave.network.capture import capture
from unweave.network.layouts import Layout, layouts


class Part(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.written = forward
        self.conv, self.linear = nn.Conv2d(4, 5, 3, padding=1), nn.Linear(8, 7)
        self.weight = nn.Parameter(torch.ones(4, 5))

    def forward(self, images):
        return self.written(self, images)


class Parts(nn.Module):
    """All cases side by side, in one network: a capture each would take most of a minute."""

    def __init__(self, forwards):
        super().__init__()
        self.parts = nn.ModuleList(Part(forward) for forward in forwards)

    def forward(self, images):
        return sum(part(images).flatten(1).sum(1, keepdim=True) for part in self.parts) * torch.ones(2)


def followed(forwards, shape=(1, 4, 6, 8)):
    """The layouts of all values of each of `forwards`, in order."""
    captured = capture(Parts(forwards).eval(), torch.zeros(shape))
    where = layouts(captured.graph)
    inside = [(captured.names.get(node.name, ""), layout) for node, layout in where.items()]
    return [
        [layout for name, layout in inside if name.startswith((f"parts.{position}/", f"parts.{position}."))]
        for position in range(len(forwards))
    ]


def lost(spatial=True, batch_first=True):
    return Layout(None, 0, spatial, batch_first)


def _written(values, dim):
    """In place, as a user's network might."""
    values = values.clone()
    values.select(dim, 0).zero_()
    return values


CASES = {
    "images": (lambda n, x: x + 0, Layout(1, 4, True)),
    "activation": (lambda n, x: x.relu(), Layout(1, 4, True)),
    "convolution": (lambda n, x: n.conv(x), Layout(1, 5, True)),
    "linear over the last dimension": (lambda n, x: n.linear(x), Layout(3, 7, True)),
    "norm": (lambda n, x: functional.layer_norm(x, (8,)), Layout(1, 4, True)),
    "pool": (lambda n, x: functional.max_pool2d(x, 2), Layout(1, 4, True)),
    "pool with indices": (lambda n, x: functional.max_pool2d(x, 2, return_indices=True)[0], Layout(1, 4, True)),
    "pool's indices": (lambda n, x: functional.max_pool2d(x, 2, return_indices=True)[1] * 1.0, lost()),
    "pool of all positions": (lambda n, x: functional.adaptive_avg_pool2d(x, 1), Layout(1, 4, False)),
    "maximum of all positions": (lambda n, x: functional.adaptive_max_pool2d(x, 1), Layout(1, 4, False)),
    "mean of all positions": (lambda n, x: x.mean((2, 3)), Layout(1, 4, False)),
    "mean of rows": (lambda n, x: x.mean(2), Layout(1, 4, True)),
    "mean that keeps dimensions": (lambda n, x: x.mean((2, 3), keepdim=True), Layout(1, 4, False)),
    "largest along a dimension": (lambda n, x: x.max(3).values, Layout(1, 4, True)),
    "mean over channels": (lambda n, x: x.mean(1), lost()),
    "softmax": (lambda n, x: x.softmax(1), Layout(1, 4, True)),
    "channels to the end": (lambda n, x: x.permute(0, 2, 3, 1).relu(), Layout(3, 4, True)),
    "transposed": (lambda n, x: x.transpose(-1, 1).relu(), Layout(3, 4, True)),
    "transposed elsewhere": (lambda n, x: x.transpose(2, 3).relu(), Layout(1, 4, True)),
    "positions merged": (lambda n, x: x.flatten(2).relu(), Layout(1, 4, True)),
    "positions taken apart": (lambda n, x: x.unflatten(3, (2, 4)).relu(), Layout(1, 4, True)),
    "channels taken apart": (lambda n, x: x.unflatten(1, (2, 2)).relu(), lost()),
    "channels merged with positions": (lambda n, x: x.flatten(1).relu(), lost(False)),
    "new dimension before": (lambda n, x: x.unsqueeze(1).relu(), Layout(2, 4, True)),
    "batch merged with positions": (
        lambda n, x: x.permute(0, 2, 3, 1).flatten(0, 2).relu().unflatten(0, (-1, 6, 8)).relu(),
        Layout(3, 4, True),
    ),
    "slice of positions": (lambda n, x: x[:, :, ::2, 1:].relu(), Layout(1, 4, True)),
    "slice of channels": (lambda n, x: x[:, 1:].relu(), Layout(1, 3, True)),
    "one position": (lambda n, x: x[:, :, 0].relu(), Layout(1, 4, True)),
    "one channel": (lambda n, x: x[:, 0].relu(), lost()),
    "second part of a split": (lambda n, x: x.split([1, 3], 1)[1].relu(), Layout(1, 3, True)),
    "half": (lambda n, x: x.chunk(2, 1)[0].relu(), Layout(1, 2, True)),
    "one row of many": (lambda n, x: x.unbind(2)[3].relu(), Layout(1, 4, True)),
    "one row of many, channels last": (lambda n, x: x.permute(0, 2, 3, 1).unbind(1)[3].relu(), Layout(2, 4, True)),
    "one channel of all": (lambda n, x: x.unbind(1)[3].relu(), lost()),
    "padded channels": (lambda n, x: functional.pad(x, (0, 0, 0, 0, 1, 2)).relu(), Layout(1, 7, True)),
    "padded positions": (lambda n, x: functional.pad(x, (1, 1)).relu(), Layout(1, 4, True)),
    "concatenated channels": (lambda n, x: torch.cat([x, n.conv(x)], 1), Layout(1, 9, True)),
    "concatenated positions": (lambda n, x: torch.cat([x, x.relu()], 2), Layout(1, 4, True)),
    "concatenated across layouts": (lambda n, x: torch.cat([x, x.permute(0, 2, 3, 1).reshape(x.shape)], 1), lost()),
    "sum of two": (lambda n, x: x + x.relu(), Layout(1, 4, True)),
    "scaled by a mean": (lambda n, x: x * x.mean((2, 3), keepdim=True).sigmoid(), Layout(1, 4, True)),
    "scaled by one map": (lambda n, x: x * x.mean(1, keepdim=True), Layout(1, 4, True)),
    "crossed with itself": (lambda n, x: x.mean((2, 3))[:, :, None] * x.mean((2, 3))[:, None], lost(False)),
    "matrix product": (lambda n, x: x @ x.transpose(2, 3), lost()),
    "product with weights": (lambda n, x: x.permute(0, 2, 3, 1) @ n.weight, Layout(3, 5, True)),
    "product with weights in letters": (
        lambda n, x: torch.einsum("bchw,cd->bdhw", x, n.weight),
        Layout(1, 5, True),
    ),
    "product of values in letters": (lambda n, x: torch.einsum("bchw,bchv->bcwv", x, x), lost()),
    "lower half times its gate": (lambda n, x: functional.glu(x, 1), Layout(1, 2, True)),
    "left half times its gate": (lambda n, x: functional.glu(x, 3), Layout(1, 4, True)),
    "channels repeated": (lambda n, x: x.repeat(1, 3, 1, 1), Layout(1, 12, True)),
    "rows repeated": (lambda n, x: x.repeat_interleave(2, 2), Layout(1, 4, True)),
    "chosen channels": (lambda n, x: x.index_select(1, torch.tensor([2, 0, 0])), Layout(1, 3, True)),
    "cumulated over rows": (lambda n, x: x.cumsum(2), Layout(1, 4, True)),
    "cumulated over channels": (lambda n, x: x.cumsum(1), lost()),
    "windows of rows": (lambda n, x: x.unfold(2, 3, 1), Layout(1, 4, True)),
    "windows of channels": (lambda n, x: x.unfold(1, 3, 1), lost()),
    "stacked before": (lambda n, x: torch.stack([x, x.relu()], 1), Layout(2, 4, True)),
    "stacked behind": (lambda n, x: torch.stack([x, x.relu()], -1), Layout(1, 4, True)),
    "stacked across layouts": (lambda n, x: torch.stack([x, x.permute(0, 2, 3, 1).reshape(x.shape)], 1), lost()),
    "chosen by a condition": (lambda n, x: torch.where(x > 0, x, 0.1 * x), Layout(1, 4, True)),
    "a row written anew": (lambda n, x: _written(x, 2), Layout(1, 4, True)),
    "a channel written anew": (lambda n, x: _written(x, 1), Layout(1, 4, True)),
    "a row of other channels written in": (lambda n, x: x.select_scatter(x[:, 0, :4], 2, 1), lost()),
    "divided by its norm over channels": (lambda n, x: functional.normalize(x, dim=1), Layout(1, 4, True)),
    "divided by neighbouring channels": (lambda n, x: functional.local_response_norm(x, 3), Layout(1, 4, True)),
    "channels shuffled": (lambda n, x: functional.channel_shuffle(x, 2), Layout(1, 4, True)),
    "channels shuffled by hand": (
        lambda n, x: x.unflatten(1, (2, 2)).transpose(1, 2).contiguous().flatten(1, 2),
        Layout(1, 4, True),
    ),
    "channels mixed with rows": (lambda n, x: x.unflatten(1, (2, 2)).transpose(2, 3).flatten(1, 2), lost()),
    "channels into positions": (lambda n, x: functional.pixel_shuffle(x, 2), Layout(1, 1, True)),
    "positions into channels": (lambda n, x: functional.pixel_unshuffle(x, 2), Layout(1, 16, True)),
    "positions into rows of channels": (
        lambda n, x: functional.pixel_unshuffle(x.permute(0, 2, 3, 1), 2),
        lost(),
    ),
    "enlarged vectors": (lambda n, x: functional.interpolate(x[:, :, 0], scale_factor=2), Layout(1, 4, True)),
    "unknown operation": (lambda n, x: x.tril(), lost()),
    "convolution after an unknown operation": (lambda n, x: n.conv(x.tril()), Layout(1, 5, True)),
}


@pytest.fixture(scope="module")
def found():
    values = followed([forward for forward, _ in CASES.values()])
    return {case: layouts[-1] for case, layouts in zip(CASES, values, strict=True)}


@pytest.mark.parametrize("case", CASES)
def test_channels_are_followed_through(case, found):
    assert found[case] == CASES[case][1]


def test_batch_behind_or_merged_with_positions_is_not_first():
    behind, merged = followed(
        [
            lambda n, x: x.permute(2, 0, 1, 3).relu().permute(1, 0, 2, 3),
            lambda n, x: x.permute(0, 2, 3, 1).flatten(0, 2).relu().unflatten(0, (-1, 6, 8)),
        ]
    )
    assert behind[1] == Layout(2, 4, True, batch_first=False)
    assert merged[2] == Layout(1, 4, True, batch_first=False)


def test_vectors_have_channels_and_no_positions():
    kept, mixed = followed([lambda n, x: x.relu(), lambda n, x: n.linear(x)], (1, 8))
    assert kept[-1] == Layout(1, 8, False)
    assert mixed[-1] == Layout(1, 7, False)


def test_shape_that_depends_on_values_is_refused():
    captured = capture(Parts([lambda n, x: x[:, torch.tensor([True, False, True, True])]]), torch.zeros(1, 4, 6, 8))
    with pytest.raises(CaptureError, match=r"shape of index .* depends on what is in the images; .*no boolean masks"):
        layouts(captured.graph)
