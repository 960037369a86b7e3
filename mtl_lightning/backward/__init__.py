"""The executor: per-task gradients → weighting → ``.grad``, on one process or many. It needs torch alone.

In a plain PyTorch loop, three lines take the place of ``loss.backward()``::

    weighting = UPGrad(["a", "b"])
    executor = Executor(weighting, encoder.parameters(), {"a": head_a.parameters(), "b": head_b.parameters()})
    for epoch in range(num_epochs):
        executor.start_epoch(epoch)
        for inputs, targets in loader:
            features = encoder(inputs)
            executor.add({"a": loss_a(head_a(features), targets), "b": loss_b(head_b(features), targets)})
            executor.backward(executor.combine().objective)
            optimizer.step()
            optimizer.zero_grad()

Weightings that learn from more than a step need the calls of :class:`Loop`, and the optimizer the weighting's
parameters; the executor raises where one is left out.
"""

from mtl_lightning.backward.compiled import keep_buffers
from mtl_lightning.backward.conflicts import conflicts, cosines
from mtl_lightning.backward.executor import Executor
from mtl_lightning.backward.gradients import forget
from mtl_lightning.backward.loop import Loop
from mtl_lightning.backward.processes import synchronise_buffers, synchronise_parameters, take_over_reduction
from mtl_lightning.backward.step import Step

__all__ = [
    "Executor",
    "Loop",
    "Step",
    "conflicts",
    "cosines",
    "forget",
    "keep_buffers",
    "synchronise_buffers",
    "synchronise_parameters",
    "take_over_reduction",
]
