"""Attention without some of its heads, and perceptrons without some of their neurons."""

import torch
from torch import nn

from tests.surgery.cutting import cut, images, kept, shape


class Windowed(nn.Module):
    """Two windows an image, merged with the batch; two heads of two features, six hidden neurons."""

    def __init__(self):
        super().__init__()
        self.stem, self.mixed, self.projection = nn.Conv2d(3, 4, 1), nn.Linear(4, 12), nn.Linear(4, 4)
        self.up, self.down, self.classifier = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, images):
        tokens = self.stem(images).flatten(2).transpose(1, 2)
        windows = self.mixed(tokens.reshape(-1, 2, 4)).reshape(-1, 2, 3, 2, 2).permute(2, 0, 3, 1, 4)
        queries, keys, values = windows[0], windows[1], windows[2]
        joined = (queries @ keys.transpose(-2, -1)).softmax(-1) @ values
        tokens = tokens + self.projection(joined.transpose(1, 2).reshape(-1, 4, 4))
        tokens = tokens + self.down(nn.functional.gelu(self.up(tokens)))
        return self.classifier(tokens.mean(1))


def test_perceptrons_lose_closed_neurons_and_closed_heads_stay_equal():
    torch.manual_seed(0)
    small = cut(Windowed(), images(3, 2, 2), {"matmul:1": kept(2, 1), "gelu:0": kept(6, 0, 2, 5)})
    # Attention computes all heads; here it costs more to pick two features than to multiply the others by zero.
    weight = small.state_dict()["projection.weight"]
    assert weight[:, :2].eq(0).all()
    assert not weight[:, 2:].eq(0).any()
    assert shape(small, "up.weight") == (3, 4)
    assert shape(small, "down.weight") == (4, 3)
