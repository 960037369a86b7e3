"""Plain loops of several processes, and what a step of each contestant sends."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from experiments.benchmark.contestants import EQUAL, GRAMIAN_METHODS, MakeLoop
from experiments.benchmark.loops import BareLoop, ExecutorLoop, Loop
from experiments.benchmark.workloads import Batches, Workload
from mtl_lightning.backward.processes import adds_up_parts_sooner
from mtl_lightning.communication import volumes
from mtl_lightning.communication.volumes import Size, Volume
from mtl_lightning.data import Batch
from mtl_lightning.training import fsdp2
from mtl_lightning.weighting import EqualWeighting, UPGrad

PLAIN, SILENT = "DistributedDataParallel", "DistributedDataParallel without its all-reduce"
SHARDED, EQUAL_SHARDED, UPGRAD_SHARDED = "FSDP2", "EqualWeighting on FSDP2", "UPGrad on FSDP2"
UPGRAD_GATHERED = "UPGrad on FSDP2, gather_once"
METHODS = ("UPGrad", "NashMTL")


class ParallelLoop(BareLoop):
    """The bare loop as one writes it for several processes."""

    def __init__(self, workload: Workload, batches: Batches) -> None:
        super().__init__(workload, batches)
        self.model = DistributedDataParallel(_Sum(self))

    def differentiate(self, batch: dict[str, Batch]) -> None:
        self.model(batch).backward()


class SilentLoop(ParallelLoop):
    """The same, but every process goes its own way."""

    def differentiate(self, batch: dict[str, Batch]) -> None:
        with self.model.no_sync():
            super().differentiate(batch)


class ShardedLoop(BareLoop):
    """The bare loop with FSDP2: each process keeps a part of every parameter, and of what the optimizer knows of it."""

    def arrange(self) -> None:
        self.model = shard(_Sum(self), self.encoder, self.device)

    def differentiate(self, batch: dict[str, Batch]) -> None:
        self.model(batch).backward()


class ShardedExecutorLoop(ExecutorLoop):
    """The executor's loop on an encoder that is sharded as the trainer's strategy ``fsdp2`` shards it."""

    def arrange(self) -> None:
        mesh = init_device_mesh(self.device, (torch.distributed.get_world_size(),))
        fsdp2.shard(self.encoder, mesh, torch.device(self.device))


class GatheredOnceLoop(ShardedExecutorLoop):
    """The same with the strategy's option ``gather_once``."""

    def arrange(self) -> None:
        super().arrange()
        fsdp2.keep_gathered(self.encoder)

    def differentiate(self, batch: dict[str, Batch]) -> None:
        super().differentiate(batch)
        fsdp2.let_go(self.encoder)


def shard(model: nn.Module, encoder: nn.Module, device: str) -> nn.Module:
    """Divides the parameters of a model among all processes; those of a layer of its encoder are gathered together."""
    mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
    for layer in encoder.modules():
        if any(True for _ in layer.parameters(recurse=False)):
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


class _Sum(nn.Module):
    """The sum of the losses, as a module that knows all parameters."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.encoder, self.heads = loop.encoder, nn.ModuleDict(loop.tasks)
        self._losses = loop.forward

    def forward(self, batch: dict[str, Batch]) -> Tensor:
        return torch.stack([loss for part in batch.values() for loss in self._losses(part)[0].values()]).sum()


STRATEGIES: Mapping[str, Mapping[str, MakeLoop]] = {
    "ddp": {
        SILENT: SilentLoop,
        EQUAL: partial(ExecutorLoop, weighting=EqualWeighting),
        **{name: GRAMIAN_METHODS[name] for name in METHODS},
    },
    "fsdp2": {
        SHARDED: ShardedLoop,
        EQUAL_SHARDED: partial(ShardedExecutorLoop, weighting=EqualWeighting),
        UPGRAD_SHARDED: partial(ShardedExecutorLoop, weighting=UPGrad),
        UPGRAD_GATHERED: partial(GatheredOnceLoop, weighting=UPGrad),
    },
}
"""Who is compared with ``PLAIN``, by the name of the trainer's strategy."""

_VOLUMES: Mapping[str, Callable[[Size], Volume]] = {
    PLAIN: volumes.distributed_data_parallel,
    EQUAL: volumes.plain,
    UPGRAD_GATHERED: volumes.sharded_rows_gathered_once,
}
_VOLUMES_OF_ONE_PASS: Mapping[str, Callable[[Size], Volume]] = {
    **dict.fromkeys((SHARDED, EQUAL_SHARDED), volumes.sharded_plain),
    UPGRAD_SHARDED: volumes.sharded_rows,
}


def sent_by_model(plain: Loop, passes: int, num_processes: int) -> dict[str, float]:
    """Bytes that a process sends in a step of each contestant of which the model says it.

    Args:
        plain: A loop whose model is in single precision.
        passes: Through the encoder. FSDP2 may gather parameters for each of them, or keep them.
        num_processes: How many.
    """
    size = size_of(plain)
    rows = volumes.scattered_rows if adds_up_parts_sooner(size.row, torch.device(plain.device)) else volumes.rows
    known = {**_VOLUMES, **dict.fromkeys(METHODS, rows), **(_VOLUMES_OF_ONE_PASS if passes == 1 else {})}
    return {name: volume(size).sent(num_processes) for name, volume in known.items()}


def size_of(loop: Loop) -> Size:
    """K, P and the parameters of the heads."""
    heads = sum(p.numel() for task in loop.tasks.values() for p in task.parameters())
    return Size(len(loop.tasks), sum(p.numel() for p in loop.encoder.parameters()), heads)
