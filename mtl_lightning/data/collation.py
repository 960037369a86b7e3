"""Reads the rows of a plan and makes batches of them; this is what the workers of a data loader run."""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from mtl_lightning.array_files import unpacked
from mtl_lightning.data.batch import Batch, StepBatch
from mtl_lightning.data.columns import with_prefix
from mtl_lightning.data.examples import Processor
from mtl_lightning.data.row_reader import RowReader
from mtl_lightning.data.sampler import Plan, Rows
from mtl_lightning.errors import UserError
from mtl_lightning.padding import pad

_READ = ("row", "length", "inputs", "targets", "counts")
"""Columns of an encoded table that a batch is made of; the first word of their names, before ``/``."""

Keys = Sequence[Sequence[int]]
"""Of random numbers, one an example."""


def moves_of_labels(tasks: Mapping[str, Any]) -> dict[str, Callable[..., np.ndarray]]:
    """``of_pixels`` of :class:`StepDataset`, of tasks by name."""
    return {name: type(task).moved for name, task in tasks.items() if task.level == "maps"}


class StepDataset(TorchDataset[StepBatch]):
    """Encoded tables, indexed by the plan of a step.

    Args:
        tables: Encoded tables by data set, see :class:`Encoding`.
        processor: The encoder's processor.
        missing: Encoded value of a missing label, by task.
        of_pixels: By task that labels pixels, what it makes of labels whose pixels have moved; see ``Task.moved``.
        by_episode: Tasks whose labels are numbered within an episode.
        validation: Encoded tables of the validation splits, for batches that come with those of training.
    """

    def __init__(
        self,
        tables: Mapping[str, Dataset],
        processor: Processor,
        missing: Mapping[str, float],
        of_pixels: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType({}),
        by_episode: Collection[str] = (),
        validation: Mapping[str, Dataset] = MappingProxyType({}),
    ) -> None:
        self.tables = {name: table.with_format("arrow") for name, table in tables.items()}
        self.validation = {name: table.with_format("arrow") for name, table in validation.items()}
        self.processor = processor
        self.missing = missing
        self.of_pixels = dict(of_pixels)
        self.by_episode = frozenset(by_episode)
        self._readers: dict[tuple[str, bool], RowReader] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": {}}  # they point to memory of this process

    def __getitem__(self, plan: Plan) -> dict[str, Batch]:
        return {name: self._read(name, rows) for name, rows in plan.items()}

    def _read(self, name: str, rows: Rows, beside: bool = False) -> Batch:
        columns = self._reader(name, beside)(rows.indices) if rows.examples is None else rows.examples.columns
        keys = None if rows.key is None else [[*rows.key, row] for row in columns["row"].tolist()]
        inputs, targets = with_prefix("inputs/", columns), with_prefix("targets/", columns)
        return Batch(
            inputs=self.processor.collate_columns(inputs, keys),
            targets={**self._targets(targets, inputs, keys), **self._places(targets, rows)},
            counts={task: int(values.sum()) for task, values in with_prefix("counts/", columns).items()},
            shares=rows.shares,
            examples=columns["row"].tolist(),
            num_tokens=int(columns["length"].sum()),
            step_size=rows.step_size,
            soft_shares=rows.soft_shares,
            form=rows.form,
            validation=None if rows.validation is None else self._read(name, rows.validation, beside=True),
            supports={other: self._read(other, each) for other, each in rows.supports.items()},
        )

    def _reader(self, name: str, beside: bool) -> RowReader:
        if (key := (name, beside)) not in self._readers:
            table = (self.validation if beside else self.tables)[name]
            read = [each for each in table.column_names if each in _READ or each.partition("/")[0] in _READ]
            self._readers[key] = RowReader(table, read)
        return self._readers[key]

    def _targets(
        self, targets: Mapping[str, Sequence[Any]], inputs: Mapping[str, Sequence[Any]], keys: Keys | None
    ) -> dict[str, Tensor]:
        """Labels by task; those of pixels are where the pixels are."""
        found = {task: stack(each, self.missing[task]) for task, each in targets.items() if task not in self.of_pixels}
        if of_pixels := [task for task in targets if task in self.of_pixels]:
            examples = [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
            movements = [
                self.processor.moved(each, None if keys is None else keys[i]) for i, each in enumerate(examples)
            ]
            found |= {task: self._moved(task, targets[task], movements) for task in of_pixels}
        return found

    def _places(self, tasks: Collection[str], rows: Rows) -> dict[str, Tensor]:
        """Labels of the tasks that are numbered within an episode."""
        found = [task for task in tasks if task in self.by_episode] if rows.form is not None and rows.form.ways else []
        return {task: torch.tensor(rows.form.places(len(rows.indices))) for task in found if rows.form is not None}

    def _moved(self, task: str, targets: Sequence[bytes], movements: Sequence[Any]) -> Tensor:
        labels, moved, missing = map(unpacked, targets), self.of_pixels[task], self.missing[task]
        return _stacked(
            [
                label if to is None else moved(to(label, missing), to.zoom, to.mirrored)
                for label, to in zip(labels, movements, strict=True)
            ],
            missing,
        )


def stack(targets: Sequence[Any], missing: float) -> Tensor:
    """Encoded labels as a tensor: float32 where missing ones are NaN, else int64; lists are padded with ``missing``.

    Packed arrays have one shape.
    """
    if isinstance(targets[0], bytes):
        return _stacked([unpacked(target) for target in targets], missing)
    dtype = _dtype(missing)
    return torch.from_numpy(np.array(targets, dtype)) if np.ndim(targets[0]) == 0 else pad(targets, missing, dtype)


def _stacked(arrays: Sequence[np.ndarray], missing: float) -> Tensor:
    """Arrays of one shape [B, ...]; one of 1 x 1, a missing label, gets the others'."""
    shape = max(arrays, key=np.size).shape
    if any(array.shape not in (shape, (*shape[:-2], 1, 1)) for array in arrays):
        found = " and ".join(str(list(each)) for each in sorted({array.shape for array in arrays})[:2])
        raise UserError(f"labels of the images of a batch must have one size, found {found}; resize them before")
    return torch.from_numpy(np.stack([np.broadcast_to(array, shape) for array in arrays]).astype(_dtype(missing)))


def _dtype(missing: float) -> type[np.float32] | type[np.int64]:
    return np.float32 if missing != missing else np.int64
