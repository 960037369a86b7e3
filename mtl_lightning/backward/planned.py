"""What a step would exchange with other processes, found out on a group of processes that are not there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mtl_lightning.backward.compared import Compared
from mtl_lightning.backward.evidence import new_rows, num_values
from mtl_lightning.backward.executor import Executor
from mtl_lightning.backward.feature_products import FeatureProducts
from mtl_lightning.backward.processes import imagined
from mtl_lightning.backward.rows import Rows, WholeRows
from mtl_lightning.backward.scattered_rows import ScatteredRows
from mtl_lightning.communication import Network, Size, Step, StepTime, Work, predict, refreshed, step_time
from mtl_lightning.weighting import LossWeighting

_WAYS: Mapping[type[Compared], Callable[[Size, Work], Step]] = {
    WholeRows: step_time.rows,
    ScatteredRows: step_time.scattered_rows,
    FeatureProducts: step_time.features,
}


@dataclass(frozen=True)
class Planned:
    """The steps of a job.

    Attributes:
        num_processes: N.
        size: What is trained.
        rows: What the tasks are compared by; null: they never are.
        every: Optimizer steps between two times that they are compared.
        between: The other steps.
    """

    num_processes: int
    size: Size
    rows: Compared | None
    every: int
    between: Callable[[Size, Work], Step]

    @property
    def asked(self) -> Callable[[Size, Work], Step]:
        """A step in which the tasks are compared, if they ever are."""
        return self.between if self.rows is None else _WAYS[type(self.rows)]

    def sent(self) -> tuple[float, float]:
        """Bytes that a process sends in an optimizer step, and exchanges: means over the steps."""
        share, idle = 1 / self.every, Work(0.0, 0.0)
        asked, between = (way(self.size, idle).volume for way in (self.asked, self.between))
        sent = [volume.sent(self.num_processes) for volume in (asked, between)]
        counts = [len(volume.exchanges) for volume in (asked, between)]
        return share * sent[0] + (1 - share) * sent[1], share * counts[0] + (1 - share) * counts[1]

    def time(self, work: Work, network: Network) -> StepTime:
        """Of an optimizer step, in the mean."""
        asked, between = (
            predict(way(self.size, work), network, self.num_processes) for way in (self.asked, self.between)
        )
        return refreshed(asked, between, self.every)


def planned(executor: Executor, number: int) -> Planned:
    """Plans the steps of an executor on so many processes, on GPUs."""
    setup, every = executor.setup, executor.asks_every
    with imagined(number):
        rows = None if every is None else new_rows(setup)
    of_losses = isinstance(setup.weighting, LossWeighting)
    heads = num_values([parameter for head in setup.own.values() for parameter in head])
    some = isinstance(rows, Rows) and setup.evidence is not setup.shared
    compared = num_values(setup.evidence or ()) if some else None
    num_rows = len(setup.weighting.tasks) * setup.weighting.gradients_per_task
    if setup.weighting.perturbs_parameters:  # gradients at the original parameters are sent, too, those of heads alike
        heads, num_rows = 2 * heads, max(num_rows, len(setup.weighting.tasks) + 1)
    size = Size(num_rows, num_values(setup.shared), heads, compared=compared)
    return Planned(number, size, rows, every or 1, step_time.plain if of_losses else step_time.known_weights)
