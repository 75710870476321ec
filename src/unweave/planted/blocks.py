"""Blocks: small separate networks, trained side by side, of which a planted network is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unweave.planted.architecture import Kind, last_values, layers_of

_RATE = 0.02
_BATCH = 100


@dataclass(frozen=True)
class Blocks:
    """Which block serves which class. Blocks do not see each other; each has `width` channels in every layer.

    `serves[block]`: the classes whose score reads it: one (an expert), several (shared), or none (a distractor, which
    was taught a class as an expert is, and whose answer nothing reads).
    """

    kind: Kind
    classes: int
    width: int
    serves: tuple[tuple[int, ...], ...]
    taught: tuple[int, ...]
    """Of each distractor, the class that it was taught, in the blocks' order."""

    @property
    def channels(self) -> int:
        """Of every layer."""
        return self.width * len(self.serves)

    def of_class(self, index: int) -> np.ndarray:
        """`Bool[channels]`: which channels, before they are permuted, can reach the class's score."""
        return np.repeat([index in served for served in self.serves], self.width)


@dataclass(frozen=True)
class Trained:
    """Weights of blocks: `weights[layer]` `[channels, channels read by a block, 3, 3]`, `biases[layer]` `[channels]`,
    `head` `[classes, channels of the last values]` with zeros where a class does not read, `head_bias` `[classes]`."""

    weights: list[Tensor]
    biases: list[Tensor]
    head: Tensor
    head_bias: Tensor


def arrange(kind: Kind, classes: int, width: int, shared: int, distractors: int, draw: np.random.Generator) -> Blocks:
    """An expert for every class, `shared` blocks of two classes each, `distractors` that serve none."""
    pairs = [tuple(sorted(draw.choice(classes, 2, replace=False).tolist())) for _ in range(shared)]
    taught = tuple(int(c) for c in np.resize(draw.permutation(classes), distractors))
    serves = (*((c,) for c in range(classes)), *pairs, *((),) * distractors)
    return Blocks(kind, classes, width, serves, taught)


def train(blocks: Blocks, images: Tensor, labels: Tensor, steps: int, seed: int) -> Trained:
    """Teach all blocks at once: each class to answer yes or no and the right one of all, distractors yes or no.

    The answer of a class reads its own blocks alone, so that experts are one-against-the-rest networks.
    """
    draw = torch.Generator().manual_seed(seed)
    weights, biases = _started(blocks, draw)
    answers = blocks.classes + len(blocks.taught)
    reads = _reads(blocks)
    head = torch.randn(reads.shape, generator=draw) * reads * (2 / reads.sum(1, keepdim=True)) ** 0.5
    head_bias = torch.zeros(answers)
    parameters = [tensor.requires_grad_() for tensor in (*weights, *biases, head, head_bias)]
    optimizer = torch.optim.Adam(parameters, lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=_RATE, total_steps=steps)
    asked = torch.cat([torch.arange(blocks.classes), torch.tensor(blocks.taught, dtype=torch.long)])
    wanted = (labels[:, None] == asked).float()
    rarity = torch.tensor(float(blocks.classes - 1))
    with torch.enable_grad():
        for batch in _batches(len(labels), steps, draw):
            scores = functional.linear(_last(blocks, weights, biases, images[batch]), head * reads, head_bias)
            yes_or_no = functional.binary_cross_entropy_with_logits(
                scores, wanted[batch], pos_weight=rarity, reduction="none"
            )
            right = functional.cross_entropy(scores[:, : blocks.classes], labels[batch])
            optimizer.zero_grad()
            (yes_or_no.mean(0).sum() + right).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    own = slice(0, blocks.classes)
    return Trained(
        [weight.detach() for weight in weights],
        [bias.detach() for bias in biases],
        (head * reads).detach()[own],
        head_bias.detach()[own],
    )


def _batches(count: int, steps: int, draw: torch.Generator) -> list[Tensor]:
    """Positions of the images of `steps` mini-batches, image after image in new random orders."""
    size = min(_BATCH, count)
    orders = [torch.randperm(count, generator=draw) for _ in range(-(-steps * size // count))]
    return list(torch.split(torch.cat(orders), size)[:steps])


def _started(blocks: Blocks, draw: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
    weights = []
    for layer in layers_of(blocks.kind):
        read = len(layer.reads) * blocks.width or 1
        size = (blocks.channels, read, 3, 3)
        weights.append(torch.randn(size, generator=draw) * (2 / (9 * read)) ** 0.5)
    return weights, [torch.zeros(blocks.channels) for _ in weights]


def _reads(blocks: Blocks) -> Tensor:
    """`[answers, channels of the last values]`, 1 where an answer reads a channel."""
    rows = [blocks.of_class(c) for c in range(blocks.classes)]
    first = len(blocks.serves) - len(blocks.taught)
    rows += [np.repeat(np.arange(len(blocks.serves)) == first + i, blocks.width) for i in range(len(blocks.taught))]
    return torch.from_numpy(np.tile(np.stack(rows), (1, len(last_values(blocks.kind))))).float()


def _last(blocks: Blocks, weights: list[Tensor], biases: list[Tensor], images: Tensor) -> Tensor:
    """Means over positions of what the answers read, `[images, channels]`, layer after layer."""
    count = len(blocks.serves)
    values: list[Tensor] = []
    for number, layer in enumerate(layers_of(blocks.kind)):
        if layer.reads:
            seen = torch.cat([torch.unflatten(values[i], 1, (count, blocks.width)) for i in layer.reads], 2).flatten(
                1, 2
            )
            value = _blockwise(seen, weights[number], count) + biases[number][:, None, None]
        else:
            value = functional.conv2d(images, weights[number], biases[number], padding=1)
        if layer.adds is not None:
            value = value + values[layer.adds]
        value = functional.relu(value)
        values.append(functional.max_pool2d(value, 2) if layer.pools else value)
    return torch.cat([values[i].mean((2, 3)) for i in last_values(blocks.kind)], 1)


def _blockwise(values: Tensor, weight: Tensor, count: int) -> Tensor:
    """A convolution of 3 x 3 within each of `count` blocks, as one product of matrices a block: with four channels a
    block, grouped convolutions are some twenty times slower on a CPU."""
    images, _, height, width = values.shape
    patches = torch.unflatten(functional.unfold(values, 3, padding=1), 1, (count, -1)).permute(1, 2, 0, 3)
    products = weight.view(count, -1, patches.shape[1]) @ patches.flatten(2)
    return products.view(-1, images, height, width).transpose(0, 1)
