"""Reads the rows of a plan and makes batches of them; this is what the workers of a data loader run."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from mtl_lightning.array_files import unpacked
from mtl_lightning.data.batch import Batch, StepBatch
from mtl_lightning.data.columns import read_rows, with_prefix
from mtl_lightning.data.examples import Processor
from mtl_lightning.data.sampler import Plan, Rows
from mtl_lightning.errors import UserError
from mtl_lightning.padding import pad


class StepDataset(TorchDataset[StepBatch]):
    """Encoded tables, indexed by the plan of a step.

    Args:
        tables: Encoded tables by data set, see :class:`Encoding`.
        processor: The encoder's processor.
        missing: Encoded value of a missing label, by task.
        mirror: What makes of an encoded label that of the mirrored image, by task; of others, it is the same.
    """

    def __init__(
        self,
        tables: Mapping[str, Dataset],
        processor: Processor,
        missing: Mapping[str, float],
        mirror: Mapping[str, Callable[[Any], Any]] = MappingProxyType({}),
    ) -> None:
        self.tables = {name: table.with_format("arrow") for name, table in tables.items()}
        self.processor = processor
        self.missing = missing
        self.mirror = dict(mirror)

    def __getitem__(self, plan: Plan) -> dict[str, Batch]:
        return {name: self._read(name, rows) for name, rows in plan.items()}

    def _read(self, name: str, rows: Rows) -> Batch:
        columns = read_rows(self.tables[name], rows.indices) if rows.examples is None else rows.examples.columns
        keys = None if rows.key is None else [[*rows.key, row] for row in columns["row"].tolist()]
        targets = with_prefix("targets/", columns)
        if keys is not None:
            for task in self.mirror.keys() & targets.keys():
                targets[task] = self._mirrored(task, targets[task], keys)
        return Batch(
            inputs=self.processor.collate_columns(with_prefix("inputs/", columns), keys),
            targets={task: stack(values, self.missing[task]) for task, values in targets.items()},
            counts={task: int(values.sum()) for task, values in with_prefix("counts/", columns).items()},
            shares=rows.shares,
            examples=columns["row"].tolist(),
            num_tokens=int(columns["length"].sum()),
            step_size=rows.step_size,
            soft_shares=rows.soft_shares,
        )

    def _mirrored(self, task: str, targets: Sequence[Any], keys: Sequence[Sequence[int]]) -> list[Any]:
        """Labels of examples of which some are mirrored."""
        pairs = zip(targets, keys, strict=True)
        return [self.mirror[task](target) if self.processor.mirrored(key) else target for target, key in pairs]


def stack(targets: Sequence[Any], missing: float) -> Tensor:
    """Encoded labels as a tensor: float32 where missing ones are NaN, else int64; lists are padded with ``missing``.

    Packed arrays have one shape.
    """
    dtype = np.float32 if missing != missing else np.int64
    if isinstance(targets[0], bytes):
        return _stacked([unpacked(target).astype(dtype) for target in targets])
    return torch.from_numpy(np.array(targets, dtype)) if np.ndim(targets[0]) == 0 else pad(targets, missing, dtype)


def _stacked(arrays: Sequence[np.ndarray]) -> Tensor:
    """Arrays of one shape [B, ...]; one of 1 x 1, a missing label, gets the others'."""
    shape = max(arrays, key=np.size).shape
    if any(array.shape not in (shape, (*shape[:-2], 1, 1)) for array in arrays):
        found = " and ".join(str(list(each)) for each in sorted({array.shape for array in arrays})[:2])
        raise UserError(f"labels of the images of a batch must have one size, found {found}; resize them before")
    return torch.from_numpy(np.stack([np.broadcast_to(array, shape) for array in arrays]))
