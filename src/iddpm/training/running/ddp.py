"""Processes that have the whole model each, and share batches and gradients."""

from __future__ import annotations

import atexit
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch import distributed as dist

from iddpm.training.running.backend import Backend


class DDP(Backend):
    """torch's DistributedDataParallel, over NCCL on GPUs and Gloo elsewhere."""

    def __init__(self, device: torch.device) -> None:
        if not dist.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(device)
            # The first process validates and samples while the others wait, and that can take hours.
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=1))
            atexit.register(dist.destroy_process_group)
        super().__init__(device, dist.get_rank(), dist.get_world_size())

    def prepare(self, network: nn.Module) -> nn.Module:
        self._replica = nn.parallel.DistributedDataParallel(network)
        return self._replica

    def accumulate(self, is_last: bool) -> AbstractContextManager[object]:
        return nullcontext() if is_last else self._replica.no_sync()

    def gather(self, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(self.count)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def any(self, flag: bool) -> bool:
        agreed = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(agreed, op=dist.ReduceOp.MAX)
        return bool(agreed.item())

    def wait(self) -> None:
        dist.barrier()
