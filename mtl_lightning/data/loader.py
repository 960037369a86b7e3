"""The loader of step batches, and how many processes prepare them."""

import os
import warnings
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from lightning.fabric.utilities.data import suggested_max_num_workers
from lightning.fabric.utilities.seed import pl_worker_init_function
from torch.utils.data import DataLoader, Dataset

from mtl_lightning.data.batch import StepBatch
from mtl_lightning.errors import UserError
from mtl_lightning.stopping import as_worker, held_back

_MOST = 4
_BEARABLE = 64  # a worker takes 100 MB or so, and no batch needs so many


class StepLoader(DataLoader[StepBatch]):
    """A loader that knows how long it has kept its reader waiting.

    Attributes:
        waited: Seconds, of all epochs together.
    """

    waited = 0.0

    def __iter__(self) -> Iterator[StepBatch]:  # type: ignore[override]
        start = perf_counter()
        with held_back():  # workers may not take one that comes before they know what to do with it
            batches = super().__iter__()
        while True:
            batch = next(batches, None)
            self.waited += perf_counter() - start
            if batch is None:
                return
            yield batch
            start = perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the data module keeps the position. Without it, Lightning warns of every run that goes on."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See ``state_dict``."""


def step_loader(dataset: Dataset[StepBatch], sampler: Any, num_workers: int | None, trainer: Any) -> StepLoader:
    """A loader whose workers live as long as it does, hold two batches ready each, and share the tables.

    Args:
        dataset: Indexed by what ``sampler`` yields.
        sampler: The steps.
        num_workers: Processes that prepare batches; null: see :func:`default_num_workers`.
        trainer: Lightning's, set up. Batches go through pinned memory where its device is a GPU.
    """
    device = trainer.strategy.root_device.type
    if num_workers is None:
        num_workers = default_num_workers(device, trainer.num_devices)
        warnings.filterwarnings("ignore", ".*does not have many workers")  # Lightning's advice; the number is chosen
    return StepLoader(
        dataset,
        batch_size=None,
        sampler=sampler,
        collate_fn=_as_it_is,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=device in ("cuda", "xpu"),
        worker_init_fn=_start_worker,
    )


def _as_it_is(batch: Any) -> Any:
    """Spares torch a look at every number of an example."""
    return batch


def _start_worker(number: int) -> None:
    """Lets a worker live as long as its run; seeds it as Lightning does where no one else starts it."""
    as_worker()
    if int(os.environ.get("PL_SEED_WORKERS", "0")):
        pl_worker_init_function(number)


def checked_num_workers(num_workers: int | None) -> int | None:
    """The number of workers that the user asked for, if a machine can bear so many.

    Raises:
        UserError: If it is negative, or above 64 and above 4 a core: these would take the machine's memory.
    """
    most = max(_BEARABLE, 4 * (os.cpu_count() or 1))
    if num_workers is not None and not 0 <= num_workers <= most:
        raise UserError(f"data.num_workers must be from 0 to {most} (on this machine), found {num_workers}")
    return num_workers


def default_num_workers(device: str, processes: int) -> int:
    """None on a CPU, where they would take the cores that train; else up to 4 of the cores that this process may use.

    A batch of 32 sentences takes half a millisecond to prepare, so one worker feeds a hundred steps a second and more.

    Args:
        device: Type of the device that trains.
        processes: Training processes on this machine; they share its cores, and each keeps one for itself.
    """
    return 0 if device == "cpu" else min(_MOST, suggested_max_num_workers(processes))
