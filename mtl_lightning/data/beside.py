"""Batches of the validation splits that come with training batches, for weightings that learn from them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from datasets import Dataset

from mtl_lightning.data.columns import lengths_of, numbers_of
from mtl_lightning.data.passes import Passes
from mtl_lightning.data.sampler import Counts, Plan, Rows
from mtl_lightning.data.schedules import Moment
from mtl_lightning.data.shares import Drawn, shares_of
from mtl_lightning.errors import UserError


def check_beside(name: str, tables: Mapping[str, Mapping[str, Any]], episodes: Collection[str]) -> None:
    """Refuses data that has no validation batches to train with.

    Args:
        name: Of the weighting that asks for them.
        tables: The data sets, by name and split.
        episodes: Those that are read in episodes.

    Raises:
        UserError: With the data set.
    """
    for dataset, found in tables.items():
        if dataset in episodes:
            raise UserError(
                f"model.weighting: {name} learns from validation batches, which data sets that are read in episodes "
                f"('{dataset}') do not have; choose another weighting"
            )
        if "val" not in found or not len(found["val"]):
            raise UserError(
                f"model.weighting: {name} learns from validation batches, but data.datasets.{dataset} has no examples "
                f"in a split 'val' (it has {', '.join(found)}); name a file for it in `files`, take it from another "
                "one with `split`, or choose another weighting"
            )


class ValidationBeside:
    """Adds rows of the validation splits to the plans of training steps: a pure function of seed, epoch and rank.

    Each optimizer step gets a batch of every data set that its plans draw, beside the last of these. Batches are cut
    from permutations as those of training are, anew in each epoch, and no random changes are made to their examples.
    A last step of an epoch that has fewer plans than others gets none.

    Args:
        lengths: Length of each validation example [N], by data set.
        counts: Number of labels of each validation example [N], by data set and task.
        batch_sizes: Examples a batch and process, by data set.
        window: Asked at the start of an epoch: how many plans make an optimizer step.
        process: Rank of this one, and how many there are.
        max_tokens: Largest padded size of a batch; null: any. A longer example makes a batch by itself.
        packed: Whether that is of the sum of lengths.

    Raises:
        UserError: If a data set has fewer validation examples than there are processes.
    """

    def __init__(
        self,
        lengths: Mapping[str, np.ndarray],
        counts: Counts,
        batch_sizes: Mapping[str, int],
        window: Callable[[], int],
        process: tuple[int, int] = (0, 1),
        max_tokens: int | None = None,
        packed: bool = False,
    ) -> None:
        self._counts, self._window = counts, window
        rank, num_replicas = process
        self._part, self._num_replicas = slice(rank, None, num_replicas), num_replicas
        self._passes = {
            name: Passes(length, batch_sizes[name], num_replicas, 100, max_tokens, packed=packed)
            for name, length in lengths.items()
        }
        for name, passes in self._passes.items():
            if not len(passes.sizes):
                raise UserError(f"data set '{name}' has fewer validation examples than there are processes")

    def __call__(self, plans: Iterator[Plan], moment: Moment, first: int, length: int) -> Iterator[Plan]:
        """The plans with what comes beside them.

        Args:
            plans: Those that are left of an epoch.
            moment: Seed and standing of the run.
            first: Number of the first of them in the epoch.
            length: Of the epoch.
        """
        size = self._window()
        number, late = divmod(first, size)
        draws = {
            name: passes.draws([1] * (length // size + 1), number, [moment.seed, moment.epoch, place, 1])
            for place, (name, passes) in enumerate(self._passes.items())
        }
        while step := list(islice(plans, size - late)):
            if len(step) == size - late:
                self._add(step, {name: next(rows) for name, rows in draws.items()})
            late = 0
            yield from step

    def _add(self, step: list[Plan], drawn: Mapping[str, np.ndarray]) -> None:
        """Adds rows to the last plan of each data set."""
        last = {name: plan for plan in step for name in plan}
        counts = {name: {task: of[drawn[name]] for task, of in self._counts[name].items()} for name in last}
        ((shares, _),) = shares_of([Drawn(counts, {})], self._part, self._num_replicas)
        for name, plan in last.items():
            plan[name] = plan[name]._replace(validation=Rows(drawn[name][self._part].tolist(), shares[name]))


def beside(
    tables: Mapping[str, Dataset], batch_sizes: Mapping[str, int], max_tokens: int | None, trainer: Any
) -> ValidationBeside | None:
    """What comes beside the training steps of a trainer.

    Args:
        tables: The encoded validation splits by data set; none: nothing does.
        batch_sizes: As of :class:`ValidationBeside`.
        max_tokens: The same.
        trainer: Lightning's, set up.
    """
    if not tables:
        return None
    return ValidationBeside(
        lengths_of(tables),
        {name: numbers_of("counts/", table) for name, table in tables.items()},
        batch_sizes,
        lambda: int(trainer.accumulate_grad_batches),
        (trainer.global_rank, trainer.world_size),
        max_tokens,
        trainer.lightning_module.encoder.processor.packs,
    )
