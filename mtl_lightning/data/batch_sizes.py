"""Sizes of batches, for all data sets or by their names."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_lightning.errors import UserError, did_you_mean


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
