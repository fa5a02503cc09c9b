"""Several processes that train one model, started by torchrun; or the usual single one."""

from __future__ import annotations

import atexit
import os
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from iddpm.errors import UserError


class Processes:
    """This process among those that share a batch. `rank` 0 writes the files."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count

    @classmethod
    def from_environment(cls, device: torch.device) -> Processes:
        """As torchrun says; joins the group where there are several processes."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls()
        if not dist.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(device)
            # The first process validates and samples while the others wait, and that can take hours.
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=1))
            atexit.register(dist.destroy_process_group)
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this one writes the files."""
        return self.rank == 0

    def share_of(self, batch_size: int) -> slice:
        """The rows of a batch that are this process's; UserError where they cannot be shared evenly."""
        if batch_size % self.count:
            raise UserError(f"training.batch_size: {batch_size} cannot be shared by {self.count} processes evenly")
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def gather(self, rows: Tensor) -> Tensor:
        """Every process's rows, in the order of the batch."""
        if self.count == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.count)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether `flag` is true in any process: all of them must agree on when to stop."""
        if self.count == 1:
            return flag
        agreed = torch.tensor([int(flag)], device=device)
        dist.all_reduce(agreed, op=dist.ReduceOp.MAX)
        return bool(agreed.item())

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            dist.barrier()
