"""Random numbers that belong to a key, such as (seed, class, pass, image), never to a position in one shared stream.

So a class gets the same numbers whichever other classes are searched with it, in whichever order or process.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unweave.files import digest

_PURPOSES = (
    *("order", "scores", "spread", "noise", "augmentation", "channels", "others", "images"),
    *("mosaics", "labels", "partners"),
)


def key_of(classes: Sequence[int]) -> int:
    """What the random numbers of a row belong to: its class, or a number made of the classes of a group."""
    return classes[0] if len(classes) == 1 else int(digest(",".join(map(str, classes))), 16)


def generator(purpose: str, *key: int) -> np.random.Generator:
    """A generator whose numbers are a function of `purpose` and the non-negative integers `key` alone."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([_PURPOSES.index(purpose), *key])))


def order(images: np.ndarray, *key: int) -> np.ndarray:
    """`images` (positions in the data set) in random order; the order of two images depends on them and `key` only.

    Image `i` is given the `i`-th number of the stream that belongs to `key`, and images are sorted by their numbers.
    Leaving an image out therefore does not change the order of the others.
    """
    if len(images) == 0:
        return images
    numbers = generator("order", *key).random(int(images.max()) + 1)[images]
    return np.asarray(images[np.argsort(numbers, kind="stable")])


def normal(purpose: str, *key: int, size: tuple[int, ...]) -> Tensor:
    """Standard normal numbers that belong to (`purpose`, `key`), as a float32 tensor of `size`."""
    return torch.from_numpy(generator(purpose, *key).standard_normal(size, dtype=np.float32))
