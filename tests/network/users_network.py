"""A file as a user has it: a function that returns a network."""

from torch import nn


class Own(nn.Module):
    """A gated convolution, a sum, and a head."""

    def __init__(self):
        super().__init__()
        self.stem, self.gate, self.inner = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)

    def forward(self, images):
        values = self.stem(images).relu()
        values = values * self.gate(values).sigmoid() + self.inner(values)
        return self.head(values.relu().mean((2, 3)))


def network():
    return Own()
