"""The ratios of ``make benchmark`` on a GPU, in both precisions, with memory and waits."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from experiments.benchmark.contestants import EQUAL, MakeLoop
from experiments.benchmark.gpu.device import ITEMS, WAITS, Device
from experiments.benchmark.gpu.found import Found, found
from experiments.benchmark.loops import Loop
from experiments.benchmark.measure import Effort, time_ratios
from experiments.benchmark.sections import SECTIONS, InPlainLoops
from experiments.benchmark.workloads import Batches, Perceptron, Transformer, Workload

PRECISIONS = {"fp32": False, "bf16": True}
LARGE = Transformer(length=128, width=768, layers=6)
"""As large as DistilBERT, which keeps a GPU busy."""

_NUM_BATCHES = 4
_PROFILED_STEPS = 4


def sections() -> list[InPlainLoops]:
    """Those of ``make benchmark``, and before them the transformer's on a large one."""
    ours = [section for section in SECTIONS if isinstance(section, InPlainLoops)]
    return [*(_large(section) for section in ours if isinstance(section.workload.size, Transformer)), *ours]


def rehearsed() -> InPlainLoops:
    """Less than little of one of them."""
    section = sections()[0]
    few = {name: make for name, make in section.contestants.items() if name in (EQUAL, "UPGrad")}
    workload = replace(section.workload.small(), size=Perceptron((16, 16)))
    return replace(section, workload=workload, contestants=few)


def _large(section: InPlainLoops) -> InPlainLoops:
    return replace(section, workload=replace(section.workload, name=f"{section.workload.name}, large", size=LARGE))


def on(device: Device, precision: str, workload: Workload) -> Workload:
    """A workload in one of the ``PRECISIONS``, which its name says."""
    name = f"{workload.name}, {precision}"
    return replace(workload, name=name, device=device.kind, bf16=PRECISIONS[precision])


def in_plain_loops(device: Device, precision: str, section: InPlainLoops, effort: Effort) -> Iterator[Found]:
    """All contestants of a section."""
    workload = on(device, precision, section.workload)
    batches, contestants = workload.batches(_NUM_BATCHES), section.contestants
    peaks = {name: _peak(device, workload, batches, make) for name, make in contestants.items()}
    loops = {name: make(workload, batches) for name, make in contestants.items()}
    first = next(iter(loops))
    others: Mapping[str, Loop] = {name: loop for name, loop in loops.items() if name != first}
    ratios = {first: 1.0, **time_ratios(loops[first], others, effort, device.clock)}
    baseline, least = _milliseconds(device, loops[first], effort.steps), peaks[first]
    for name, ratio in ratios.items():
        memory, (waits, items) = peaks[name], _waits(device, loops[name])
        yield found(
            *(workload.name, name, ratio, section.targets.get(name), ratio * baseline),
            memory=memory / least if memory and least else None,
            waits=waits,
            items=items,
        )


def _peak(device: Device, workload: Workload, batches: Batches, make: MakeLoop) -> int | None:
    return device.peak(lambda: make(workload, batches).train(2))


def _milliseconds(device: Device, loop: Loop, steps: int) -> float:
    start = device.clock()
    loop.train(steps)
    return (device.clock() - start) / steps * 1e3


def _waits(device: Device, loop: Loop) -> tuple[float | None, float]:
    """Waits of a step, null in a rehearsal, and numbers that it reads from tensors."""
    steps = max(_PROFILED_STEPS, loop.period)
    events = device.events(lambda: loop.train(steps))
    return sum(events[name] for name in WAITS) / steps if device.is_gpu else None, events[ITEMS] / steps
