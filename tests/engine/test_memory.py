"""A lack of memory is told from other failures, and costs one result alone."""

import pytest
import torch

from unweave.engine import OutOfMemory
from unweave.engine.inline import Inline
from unweave.engine.memory import is_out_of_memory


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_torch_and_python_say_of_memory_is_known(error, is_one):
    assert is_out_of_memory(error) == is_one


def test_torch_s_own_words_for_too_large_a_tensor_are_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**61, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def short_of_memory(task):
    if task == 1:
        raise MemoryError("planted")
    return 10 * task


def test_a_task_without_enough_memory_does_not_cost_the_others():
    arrived = []
    results = list(Inline().run(short_of_memory, [0, 1, 2], lambda position, result: arrived.append(position)))
    assert results == [0, OutOfMemory("planted"), 20]
    assert arrived == [0, 1, 2]
