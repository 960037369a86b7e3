"""Sizes of batches, for all data sets or by their names."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mtl_lightning.errors import UserError, did_you_mean


class BatchSizes(NamedTuple):
    """Numbers of examples of a batch, as they are configured.

    Attributes:
        train: In training, by data set.
        evaluation: In evaluation, by data set.
        of_step: Whether these are of all processes together, which divide them.
    """

    train: dict[str, int]
    evaluation: dict[str, int]
    of_step: bool

    @classmethod
    def read(
        cls,
        train: int | Mapping[str, int],
        evaluation: int | Mapping[str, int] | None,
        datasets: Sequence[str] | Mapping[str, Any],
        of_step: bool,
    ) -> "BatchSizes":
        """One number for all data sets, or one for each; null: twice those of training."""
        sizes = per_dataset("batch_size", train, datasets)
        doubled = {name: 2 * size for name, size in sizes.items()}
        return cls(
            sizes, per_dataset("eval_batch_size", doubled if evaluation is None else evaluation, datasets), of_step
        )

    def on(self, num_processes: int, trains: bool = True) -> tuple[dict[str, int], dict[str, int]]:
        """What each of so many processes gets, in training and in evaluation.

        Raises:
            UserError: If they train, and cannot divide what a step takes.
        """
        if not self.of_step:
            return self.train, self.evaluation
        return shares(self.train, num_processes, exact=trains), shares(self.evaluation, num_processes)


def per_dataset(
    parameter: str, sizes: int | Mapping[str, int], datasets: Sequence[str] | Mapping[str, Any]
) -> dict[str, int]:
    """Numbers of examples, by data set.

    Args:
        parameter: What sets them, for messages.
        sizes: One number for all, or one for each.
        datasets: Their names.

    Raises:
        UserError: Of a number below 1, an unknown name, or one that is missing.
    """
    if isinstance(sizes, int):
        sizes = dict.fromkeys(datasets, sizes)
    for name, size in sizes.items():
        if name not in datasets:
            raise UserError(f"data.{parameter} names the unknown data set '{name}'; {did_you_mean(name, datasets)}")
        if size < 1:
            raise UserError(f"data.{parameter} must be at least 1, found {size}")
    if missing := [name for name in datasets if name not in sizes]:
        raise UserError(f"data.{parameter} misses the data set '{missing[0]}'")
    return dict(sizes)


def shares(sizes: Mapping[str, int], num_processes: int, exact: bool = False) -> dict[str, int]:
    """A process's part of batches of all processes together, rounded up.

    Args:
        sizes: Number of examples of these, by data set.
        num_processes: How many divide them.
        exact: Whether nothing may be rounded.

    Raises:
        UserError: If something had to be.

    >>> shares({"a": 32, "b": 7}, 4)
    {'a': 8, 'b': 2}
    """
    for name, size in sizes.items():
        if exact and size % num_processes:
            raise UserError(
                f"data.batch_size: the {size} examples that a step takes of data set '{name}' cannot be divided by "
                f"{num_processes} processes; give a multiple of {num_processes}, or `data.batch_size_of: process`"
            )
    return {name: -(-size // num_processes) for name, size in sizes.items()}
