"""A compiled encoder on a GPU."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from experiments.benchmark.contestants import EQUAL
from experiments.benchmark.gpu.device import Device
from experiments.benchmark.gpu.found import Found, found
from experiments.benchmark.gpu.plain import on
from experiments.benchmark.loops import ExecutorLoop
from experiments.benchmark.measure import Effort, time_ratios
from experiments.benchmark.workloads import Workload
from mtl_lightning.backward import keep_buffers
from mtl_lightning.weighting import EqualWeighting, UPGrad, Weighting

WEIGHTINGS: Mapping[str, Callable[[Sequence[str]], Weighting]] = {EQUAL: EqualWeighting, "UPGrad": UPGrad}

_NUM_BATCHES = 4


class CompiledLoop(ExecutorLoop):
    """The executor's loop with a compiled encoder."""

    compiler = "inductor"

    def arrange(self) -> None:
        keep_buffers()
        self.encoder.recompute_in(None)
        self.encoder.compile(backend=self.compiler, dynamic=True)


class RehearsedLoop(CompiledLoop):
    """The same, traced alone."""

    compiler = "eager"


def compiled(device: Device, workload: Workload, effort: Effort) -> Iterator[Found]:
    """In bfloat16, beside an encoder that is not compiled; and what the first steps of a compiled one take."""
    make = CompiledLoop if device.is_gpu else RehearsedLoop
    there = on(device, "bf16", replace(workload, name=f"{workload.name}, compiled"))
    batches, part = there.batches(_NUM_BATCHES), there.name
    for name, weighting in WEIGHTINGS.items():
        plain, loop = ExecutorLoop(there, batches, weighting), make(there, batches, weighting)
        start = device.clock()
        loop.train(2)
        took = device.clock() - start
        yield found(part, name, 1.0)
        yield found(part, f"{name}, compiled", time_ratios(plain, {name: loop}, effort, device.clock)[name])
        yield found(part, f"{name}, compiled: the first two steps", milliseconds=took * 1e3)
