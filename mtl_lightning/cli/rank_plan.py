"""What a job on many processes would hold and send, and how long a step would take: ``fit --plan_ranks N``."""

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.table import Table
from torch import Tensor, nn
from torch.optim import Optimizer

from mtl_lightning.backward.feature_products import FeatureProducts
from mtl_lightning.backward.gradients import without_numbers
from mtl_lightning.backward.planned import Planned, planned
from mtl_lightning.backward.scattered_rows import ScatteredRows
from mtl_lightning.cli.model_table import cost_of_example
from mtl_lightning.communication import H100_NODES, StepTime, Work, predict, step_time
from mtl_lightning.errors import UserError
from mtl_lightning.stopping import Interrupted
from mtl_lightning.terminal.console import Console
from mtl_lightning.training.module import MultiTaskModule

MOST = 1_000_000
"""Processes that can be planned: a group names each of its own."""

_FLOPS = 400e12
"""Operations a second that a GPU is supposed to reach."""


class RankPlan(Callback):
    """Prints what a job on so many processes would take, and ends the run before it begins.

    Nothing is sent: the processes form a group of which this one alone is there.

    Args:
        number: Of processes, with a GPU each.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints.

        Raises:
            UserError: If other processes are there.
        """
        if trainer.world_size > 1:
            raise UserError(f"--plan_ranks needs one process, found {trainer.world_size}; leave torchrun or srun out")
        assert isinstance(pl_module, MultiTaskModule)
        plan, console = planned(pl_module.executor, self._number), Console()
        work = _work(trainer, pl_module, self._number)  # first: batches that cannot be divided are refused
        console.print(_memory(plan, pl_module, trainer.optimizers))
        console.print(_step(plan, work))
        if work is not None:
            speed = f"{_FLOPS / 1e12:.0f} TFLOP/s, {H100_NODES.between.bandwidth / 1e9:.0f} GB/s a GPU between nodes"
            console.print(f"Modelled for nodes of {H100_NODES.per_node} H100: {speed}", soft_wrap=True)
        raise Interrupted(0, said=True)


def check_planned(strategy: Any) -> None:
    """Refuses to plan what shards the model.

    Args:
        strategy: As the configuration has it.

    Raises:
        UserError: If it is not DDP, or left open.
    """
    path = strategy if isinstance(strategy, str) else str(strategy["class_path"])
    name = path.rpartition(".")[2]
    if not name.lower().startswith(("auto", "ddp")):
        raise UserError(f"trainer.strategy: --plan_ranks plans `ddp` alone, found '{name}'")


def _memory(plan: Planned, module: nn.Module, optimizers: Iterable[Optimizer]) -> Table:
    table = Table("memory of each process", title=f"{plan.num_processes:,} processes", title_justify="left")
    table.add_column("bytes", justify="right")
    sizes: dict[str, int | None] = {
        "parameters and buffers": _num_bytes([*module.parameters(), *module.buffers()]),
        "their gradients": _num_bytes(p for p in module.parameters() if p.requires_grad),
    }
    sizes |= {f"state of {type(optimizer).__name__}": _state(optimizer) for optimizer in optimizers}
    if plan.rows is not None:
        kind = "rows in parts" if isinstance(plan.rows, ScatteredRows) else "rows"
        products = isinstance(plan.rows, FeatureProducts)
        compared = "products of features' gradients" if products else f"{kind}, {plan.size.tasks} gradients"
        sizes[compared] = plan.rows.num_bytes
    for name, size in sizes.items():
        table.add_row(name, "not known" if size is None else _bytes(size))
    table.add_section()
    rest = "activations and what is not known" if None in sizes.values() else "activations"
    table.add_row(f"together, without {rest}", _bytes(sum(size or 0 for size in sizes.values())))
    return table


def _step(plan: Planned, work: Work | None) -> Table:
    table = Table("an optimizer step")
    for column in ("bytes sent", "exchanges", *(("computing", "waiting", "together") if work else ())):
        table.add_column(column, justify="right")
    number, plain = plan.num_processes, step_time.distributed_data_parallel(plan.size, work or Work(0.0, 0.0))
    alone = predict(plain, H100_NODES, number)
    sent, exchanges = plan.sent()
    times = _times(plan.time(work, H100_NODES)) if work else ()
    table.add_row("this job", _bytes(sent), f"{exchanges:.3g}", *times)
    of_plain = (_bytes(plain.volume.sent(number)), str(len(plain.volume.exchanges)))
    table.add_row("sum of the losses, by DDP", *of_plain, *(_times(alone) if work else ()))
    return table


def _work(trainer: Any, module: MultiTaskModule, num_processes: int) -> Work | None:
    """What a process computes in a step with a batch of each data set, or several; null: not known."""
    cost = cost_of_example(trainer, module, seconds=0.0).together
    if cost is None or module.weighting.perturbs_parameters:  # whose passes depend on what labels which tasks
        return None
    sizes, _ = trainer.datamodule.given_sizes.on(num_processes)
    batches = module.weighting.batches_compared
    forward = batches * cost * sum(sizes.values()) / _FLOPS
    return Work(forward, 2 * forward, batches * len(sizes))


def _state(optimizer: Optimizer) -> int | None:
    """Bytes of an optimizer's state, found by a step without numbers; null: it needs numbers."""
    twin = copy.copy(optimizer)
    twin.state = defaultdict(dict)
    twin.param_groups = [
        {**group, "params": [without_numbers(p) for p in group["params"]]} for group in optimizer.param_groups
    ]
    try:
        type(twin).step(twin)
    except (RuntimeError, TypeError, KeyError, NotImplementedError):
        return None
    return _num_bytes(value for state in twin.state.values() for value in state.values() if isinstance(value, Tensor))


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in {id(tensor): tensor for tensor in tensors}.values())


def _times(time: StepTime) -> Iterator[str]:
    yield from (_seconds(time.computing), _seconds(time.waiting), _seconds(time.total))


def _seconds(seconds: float) -> str:
    """Seconds in the unit that suits them.

    >>> _seconds(0.0000123), _seconds(0.0456), _seconds(1.5)
    ('12.3 µs', '45.6 ms', '1.5 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _bytes(number: float) -> str:
    """Bytes in the unit that suits them.

    >>> _bytes(12), _bytes(45_600_000)
    ('12 B', '45.6 MB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g} B"
