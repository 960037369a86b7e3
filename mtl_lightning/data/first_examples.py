"""A few examples of each data set, to try a model on before it trains."""

from collections.abc import Mapping

from torch import Tensor

from mtl_lightning.data.columns import with_prefix
from mtl_lightning.data.module import MultiTaskDataModule


def first_inputs(data: MultiTaskDataModule, number: int = 1) -> list[Mapping[str, Tensor]]:
    """The encoder's inputs of the first training examples of each data set, each [number, ...].

    Streams, and data sets whose first rows are all bad, are left out.

    Args:
        data: Set up to train.
        number: How many examples of each.
    """
    found: list[Mapping[str, Tensor]] = []
    for name in data.datasets:
        if not data._is_stream(name):
            encoding = data._encoding(name)
            inputs = with_prefix("inputs/", encoding.first(data._table(name, "train"), number))
            if examples := [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]:
                found.append(encoding.processor.collate(examples))
    return found
