"""Reads the rows of a plan and makes batches of them; this is what the workers of a data loader run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset as TorchDataset

from mtl_lightning.data.batch import Batch, StepBatch
from mtl_lightning.data.encoding import Processor
from mtl_lightning.data.sampler import Plan, Rows


class StepDataset(TorchDataset[StepBatch]):
    """Encoded tables, indexed by the plan of a step.

    Args:
        tables: Encoded tables by data set, see :class:`Encoding`.
        processor: The encoder's processor.
        missing: Encoded value of a missing label, by task.
    """

    def __init__(self, tables: Mapping[str, Dataset], processor: Processor, missing: Mapping[str, float]) -> None:
        self.tables = tables
        self.processor = processor
        self.missing = missing

    def __getitem__(self, plan: Plan) -> dict[str, Batch]:
        return {name: self._read(name, rows) for name, rows in plan.items()}

    def _read(self, name: str, rows: Rows) -> Batch:
        columns = self.tables[name][rows.indices]
        inputs = _named("inputs/", columns)
        examples = [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]
        return Batch(
            inputs=self.processor.collate(examples),
            targets={task: stack(v, self.missing[task]) for task, v in _named("targets/", columns).items()},
            counts={task: int(values.sum()) for task, values in _named("counts/", columns).items()},
            shares=rows.shares,
            examples=rows.indices,
            num_tokens=int(columns["length"].sum()),
        )


def stack(targets: Sequence[Any], missing: float) -> Tensor:
    """Encoded labels as a tensor: float32 where missing ones are NaN, else int64; lists are padded with ``missing``."""
    dtype = torch.float32 if missing != missing else torch.int64
    if np.ndim(targets[0]) == 0:
        return torch.tensor(np.asarray(targets), dtype=dtype)
    return pad_sequence([torch.tensor(t, dtype=dtype) for t in targets], batch_first=True, padding_value=missing)


def _named(prefix: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): values for name, values in columns.items() if name.startswith(prefix)}
