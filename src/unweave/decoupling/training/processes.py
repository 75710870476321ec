"""The processes that train one network together: one, or those that `torchrun` started."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from unweave.errors import SettingError
from unweave.network.devices import usable_device

Result = TypeVar("Result")


@dataclass(frozen=True)
class Processes:
    """Which of `count` processes this is (`rank`, from 0), and on its machine (`local_rank`)."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @classmethod
    def found(cls) -> Processes:
        """What `WORLD_SIZE`, `RANK` and `LOCAL_RANK`, which `torchrun` sets, say; one process without them.

        Raises
        ------
        SettingError
            If they contradict each other.
        """
        try:
            count = int(os.environ.get("WORLD_SIZE", "1"))
            if count == 1:
                return cls()
            rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
        except (ValueError, KeyError) as error:
            raise SettingError(f"WORLD_SIZE is set, but RANK is not usable ({error}); start it by torchrun") from error
        if not 0 <= rank < count:
            raise SettingError(f"RANK is {rank} of WORLD_SIZE {count}; start the processes by torchrun")
        return cls(rank, count, local)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1

    def device(self, wanted: str | torch.device | None, otherwise: torch.device) -> torch.device:
        """Where this process works: `wanted` (or where the network is), for `cuda` its own one of the machine's."""
        chosen = usable_device(wanted) if wanted is not None else otherwise
        return torch.device("cuda", self.local_rank) if self.several and chosen.type == "cuda" else chosen

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Within the block the processes can talk to each other; a group that is there already is used.

        Raises
        ------
        SettingError
            If they cannot find each other.
        """
        if not self.several or dist.is_initialized():
            yield
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        except (ValueError, RuntimeError) as error:
            raise SettingError(f"the processes cannot find each other ({error}); start them by torchrun") from error
        try:
            yield
        finally:
            dist.destroy_process_group()

    def from_first(self, function: Callable[[], Result]) -> Result:
        """What `function` returns or raises in the first process, which alone calls it."""
        if not self.several:
            return function()
        if not self.first:
            received: list[Any] = [None, None]
            dist.broadcast_object_list(received)
            result, error = received
            if error is not None:
                raise error
            return result  # type: ignore[no-any-return]
        try:
            found = function()
        except Exception as error:  # the others wait, and would not hear of it
            dist.broadcast_object_list([None, _sendable(error)])
            raise
        dist.broadcast_object_list([found, None])
        return found

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Give `tensors` the first process's values."""
        if self.several:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def added(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors."""
        if self.several:
            dist.all_reduce(tensor)
        return tensor


def _sendable(error: Exception) -> Exception:
    """`error`, or its text where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001
        return RuntimeError(f"{type(error).__name__} in the first process: {error}")
    return error
