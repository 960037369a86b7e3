"""The steps that are measured, and what the model says of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from experiments.benchmark.loops import ExecutorLoop, Loop
from experiments.benchmark.workloads import Perceptron, Workload, one_input, several_inputs
from mtl_lightning.communication import volumes
from mtl_lightning.communication.volumes import Size, Volume
from mtl_lightning.weighting import EqualWeighting, UPGrad

_TASKS = 4
REFRESH = 10


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        widths: Of the perceptron, input first.
        rounds: In which the steps take turns.
    """

    widths: tuple[int, ...]
    rounds: int

    def workloads(self) -> list[Workload]:
        """One input for all tasks, and an input for each."""
        size = Perceptron(self.widths)
        return [one_input("one input", _TASKS, 32, size), several_inputs("several inputs", _TASKS, 8, size)]


@dataclass(frozen=True)
class Measured:
    """A kind of step.

    Attributes:
        make: Its loop.
        volumes: What it sends: in the first of every so many steps, and in each of the others.
    """

    make: Callable[..., Loop]
    volumes: tuple[Callable[[Size], Volume], ...]


_UPGRAD = partial(ExecutorLoop, weighting=UPGrad)
LOSSES = Measured(partial(ExecutorLoop, weighting=EqualWeighting), (volumes.plain,))
ROWS = Measured(_UPGRAD, (volumes.rows,))
REFRESHED = Measured(partial(_UPGRAD, refresh_every=REFRESH), (volumes.rows, *[volumes.known_weights] * (REFRESH - 1)))
FEATURES = Measured(partial(_UPGRAD, gradient_of="features"), (volumes.features,))

STEPS: Mapping[str, Mapping[str, Measured]] = {
    "one input": {
        "loss weighting": LOSSES,
        "rows": ROWS,
        f"rows, refresh_every: {REFRESH}": REFRESHED,
        "gradient_of: features": FEATURES,
    },
    "several inputs": {"loss weighting": LOSSES, "rows": ROWS},
}
"""By workload."""
