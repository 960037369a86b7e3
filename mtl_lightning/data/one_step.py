"""A single step of a run, with where each of its examples comes from."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from datasets import Dataset

from mtl_lightning.data.batch import Batch
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.module import MultiTaskDataModule
from mtl_lightning.data.sampler import Plan, Rows, StepSampler
from mtl_lightning.errors import UserError


class Origin(NamedTuple):
    """Where an example comes from.

    Attributes:
        where: File and line, or split and row.
        cut_off: What of it is beyond the encoder's limit, a text; empty where nothing is.
        num_lost: Number of words or tokens that are.
    """

    where: str
    cut_off: str = ""
    num_lost: int = 0


class Part(NamedTuple):
    """What a step has of one data set.

    Attributes:
        batch: As the model gets it.
        num_lost: Of each of its examples, the number of words or tokens beyond the encoder's limit [B].
        origins: Of the first of its examples.
    """

    batch: Batch
    num_lost: Sequence[int]
    origins: Sequence[Origin]


class OneStep(NamedTuple):
    """A step of a run.

    Attributes:
        epoch: Number of its epoch, from 0.
        place: Its number in the epoch, from 0.
        length: Number of steps of the epoch.
        parts: By data set, in the order in which they are trained on.
    """

    epoch: int
    place: int
    length: int
    parts: Mapping[str, Part]


def one_step(data: MultiTaskDataModule, number: int, most: int) -> OneStep:
    """The step of a number, as a run that starts now would read it: by the same sampler and loader.

    Args:
        data: Set up to train; the heads of its model are built.
        number: Of the step, from 1, over all epochs.
        most: Of how many examples of each data set to say where they come from.

    Raises:
        UserError: If the run ends before.
    """
    data._reported.update((name, "train") for name in data.datasets)  # what a run would say of them is shown here
    loader = data.train_dataloader()
    sampler, trainer = loader.sampler, data.trainer
    assert isinstance(sampler, StepSampler)
    length = _length(len(sampler), trainer.limit_train_batches)  # type: ignore[union-attr]
    if length < 1:
        raise UserError(f"trainer.limit_train_batches is {trainer.limit_train_batches}: there is no step")  # type: ignore[union-attr]
    epoch, place = divmod(number - 1, length)
    _refuse_beyond(number, length, _num_steps(length, trainer))
    plan = _plan(sampler, epoch, place)
    found = loader.dataset[plan]
    return OneStep(epoch, place, length, {name: _part(data, name, plan[name], found[name], most) for name in plan})


def _plan(sampler: StepSampler, epoch: int, place: int) -> Plan:
    """What a step reads; a stream is read from its beginning, as nobody knows what comes in it."""
    for each in range(0 if sampler.streams else epoch, epoch):
        sampler.set_epoch(each)
        for _ in sampler:
            pass
    sampler.set_epoch(epoch)
    return next(islice(sampler, place, None))


def _part(data: MultiTaskDataModule, name: str, rows: Rows, batch: Batch, most: int) -> Part:
    encoding = data._encoding(name)
    if rows.examples is not None:
        origins = [Origin(encoding.source.describe("train", row)) for row in rows.indices[:most]]
        return Part(batch, [0] * len(rows.indices), origins)
    table = data.tables.of(name, "train")
    lost = encoding(table, "train").select_columns(["lost"])[rows.indices]["lost"].tolist()
    return Part(
        batch, lost, [_origin(encoding, table, *each) for each in zip(batch.examples[:most], lost, strict=False)]
    )


def _origin(encoding: Encoding, table: Dataset, row: int, num_lost: int) -> Origin:
    rest = encoding.processor.cut_off(encoding.raw_inputs(table, row)) if num_lost else ""
    return Origin(encoding.source.where(table, "train", row), rest, num_lost)


def _length(length: int, limit: float | int) -> int:
    """Number of steps of an epoch that a trainer trains."""
    return min(length, limit) if isinstance(limit, int) else int(length * limit)


def _num_steps(length: int, trainer: Any) -> int | None:
    """Number of steps of a run; null: the trainer does not say it."""
    limits, window = [], trainer.accumulate_grad_batches * trainer.lightning_module.batches_per_step
    if trainer.max_epochs not in (None, -1):
        limits.append(trainer.max_epochs * length)
    if trainer.max_steps != -1:
        epochs, rest = divmod(trainer.max_steps, -(-length // window))
        limits.append(epochs * length + rest * window)
    return min(limits, default=None)


def _refuse_beyond(number: int, length: int, num_steps: int | None) -> None:
    if num_steps is not None and number > num_steps:
        raise UserError(f"--step {number}: the run has {num_steps:,} steps, {length:,} an epoch")
