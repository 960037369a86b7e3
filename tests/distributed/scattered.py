"""Trains Gramian methods with whole and with scattered rows; run as ``python scattered.py FOLDER`` by each process.

gloo's own ways to add up and gather parts, which are too slow to be used, stand for NCCL's. What each kind ends with is
written to ``FOLDER/<number of processes>/<rank>.pt``, by case.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from os import environ
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from methods import METHODS
from torch import nn

from mtl_lightning.backward import Executor, evidence, gradients, processes, rows, scattered_rows
from mtl_lightning.backward.rows import WholeRows
from mtl_lightning.backward.scattered_rows import ScatteredRows
from mtl_lightning.backward.traffic import TRAFFIC
from mtl_lightning.weighting import EqualWeighting, GramianWeighting, Weighting

TASKS = ["a", "b", "c"]
WIDTHS = (5, 6, 3)
SHARED = 57
"""Parameters; neither 2 nor 4 divides it."""
LONG = 3 * 4096 - 1
"""Parameters, more than are multiplied exactly in any case; a quarter of them would be."""
KINDS = {"whole": WholeRows, "scattered": ScatteredRows, "scattered by the library": ScatteredRows}
CASES: dict[str, tuple[Callable[..., Weighting], dict[str, Any]]] = {
    **{
        name: (cls, {})
        for name, cls in METHODS.items()
        if issubclass(cls, GramianWeighting) and cls.on_validation_end is Weighting.on_validation_end
        if not cls.perturbs_parameters  # these see whole rows
    },
    "weights kept for 2 steps": (METHODS["UPGrad"], {"refresh_every": 2}),
    "weighted heads": (METHODS["MGDA"], {"head_gradients": "weighted"}),
    "gradient of the last layer": (METHODS["CAGrad"], {}),
    "conflicts of a loss weighting": (EqualWeighting, {"refresh_every": 1}),
}
ON_FOUR = ("UPGrad", "weights kept for 2 steps", "gradient of the last layer")
CASES["TorchJDWeighting"] = (lambda tasks: METHODS["TorchJDWeighting"](tasks, "UPGradWeighting"), {})  # type: ignore[call-arg]


def train(case: str, rank: int) -> dict[str, Any]:
    """Two optimizer steps of two batches or more, of which the first has no labels of a task on every other process."""
    weighting, options = CASES[case]
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(*WIDTHS[:2]), nn.Tanh(), nn.Linear(*WIDTHS[1:]))
    heads = nn.ModuleDict({task: nn.Linear(WIDTHS[-1], 1) for task in TASKS})
    model = nn.ModuleList([encoder, heads]).double()
    if case == "gradient of the last layer":
        options = {"gradient_of": list(encoder[2].parameters())}
    own = {task: head.parameters() for task, head in heads.items()}
    executor = Executor(weighting(TASKS), encoder.parameters(), own, **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    draw = torch.Generator().manual_seed(rank)
    found: dict[str, Any] = {"rows": type(executor._rows).__name__, "gramians": []}
    executor.start_epoch(0)
    for _ in range(2):
        sent = TRAFFIC.bytes
        optimizer.zero_grad()
        last = max(2, executor.setup.weighting.batches_per_step) - 1
        for number in range(last + 1):
            present = [task for task in TASKS if not (number == 0 and rank % 2 and task == "b")]
            features = encoder(torch.randn(4, WIDTHS[0], generator=draw, dtype=torch.float64))
            losses = {task: (heads[task](features) - i).square().mean() for i, task in enumerate(present)}
            executor.add(losses, dict.fromkeys(TASKS, 1.0), complete=TASKS if number == last else ())
            if executor.takes_validation and number == last:
                features = encoder(torch.randn(4, WIDTHS[0], generator=draw, dtype=torch.float64))
                beside = {
                    task: (heads[task](features) - i).square().mean() for i, task in enumerate(present[rank % 2 :])
                }
                executor.add_validation(beside, dict.fromkeys(TASKS, 1.0))
            step = executor.combine(last=number == last)
            executor.backward(step.objective)
            found["gramians"] += [] if step.gramian is None else [step.gramian]
        optimizer.step()
        found["sent"] = TRAFFIC.bytes - sent
    return found | {"state": {name: value.detach() for name, value in model.state_dict().items()}}


def nearly_parallel(rank: int) -> dict[str, Any]:
    """Inner products of two float32 gradients so close to each other that their products must be exact."""
    parameters = [nn.Parameter(torch.zeros(LONG))]
    rows = ScatteredRows(parameters, num_tasks=2)
    rows.start_batch(["a", "b"])
    gradients = torch.randn(2, LONG, generator=torch.Generator().manual_seed(rank))
    gradients[1] = gradients[0] + 1e-3 * gradients[1]
    for task, gradient in zip("ab", gradients, strict=True):
        rows.add(task, [gradient], parameters)
    rows.end_batch()
    rows.gather(torch.device("cpu"))
    accurate = rows.is_accurate(rows.gramian())
    return {"gradients": gradients, "accurate": accurate, "exact": rows.exact_gramian()}


def after_a_discarded_one(world: int, rank: int) -> list[float]:
    """What a part of a sum holds that follows one which nobody has waited for."""
    found = torch.zeros(1 << 18)
    for value, part in ((-1.0, torch.zeros(1 << 18)), (rank + 1.0, found)):
        sums = processes.Sums()
        sums.start_parts([torch.full((world << 18,), value)], part)
    sums.wait()
    return found.unique().tolist()  # type: ignore[no-any-return, no-untyped-call]


@contextmanager
def scattered(kind: str) -> Iterator[None]:
    """Where rows are of a kind."""
    with ExitStack() as patches:
        patches.enter_context(patch.object(evidence, "adds_up_parts_sooner", return_value=kind != "whole"))
        for module in (processes, scattered_rows) if kind == "scattered by the library" else ():
            patches.enter_context(patch.object(module, "takes_pieces", return_value=False))
        yield


def main(folder: Path) -> None:
    """Trains all cases, one kind after the other."""
    world, rank = int(environ["WORLD_SIZE"]), int(environ["RANK"])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world, timeout=timedelta(minutes=1))
    found: dict[str, Any] = {"nearly parallel": nearly_parallel(rank), "sums": after_a_discarded_one(world, rank)}
    for kind in KINDS:
        with scattered(kind):
            found[kind] = {case: train(case, rank) for case in (CASES if world == 2 else ON_FOUR)}
    for kind in ("whole", "scattered"):
        with scattered(kind), patch.object(rows, "_LONG", 1), patch.object(gradients, "_LONG", 7):
            found[f"{kind}, long"] = {case: train(case, rank) for case in ON_FOUR}
    torch.save(found, folder / str(world) / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
