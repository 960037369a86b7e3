"""What is shown of a step, before it is a screen or a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.data.one_step import OneStep, Origin, Part
from mtl_lightning.encoders.shown import Mark, Numbers, Piece, Shown, Tokens
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.show_batch.options import Options
from mtl_lightning.tasks import Task
from mtl_lightning.tasks.in_words import Worded
from mtl_lightning.training.module import MultiTaskModule

NO_LABEL = "·"
"""Stands at a position whose label is missing."""

TRAINED = "^"
"""Stands at a position that is trained on and of which there is nothing else to say."""


class TaskView(NamedTuple):
    """A task in a step.

    Attributes:
        name: Of the task.
        kind: Name of its class.
        num_labels: In the batch.
        share: Of the batch in the task's mean loss of the step; null: the step has no label of the task.
        weight: In the objective, where it is the same in every step.
    """

    name: str
    kind: str
    num_labels: int
    share: float | None
    weight: float | None

    def cells(self) -> tuple[str, str]:
        """Share and weight in words."""
        share = "no labels in this step" if self.share is None else f"{self.share:.4g}"
        return share, "found in training" if self.weight is None else f"{self.weight:.4g}"


@dataclass(frozen=True)
class ExampleView:
    """An example.

    Attributes:
        number: Its place in the batch, from 1.
        origin: Where it comes from.
        inputs: What the model gets.
        beside: Labels that stand beside tokens, one a piece of the first input of tokens, by task; null: nothing.
        targets: Other labels, by task; null where they are missing.
    """

    number: int
    origin: Origin
    inputs: Sequence[Shown]
    beside: Mapping[str, Sequence[str | None]]
    targets: Mapping[str, str | None]

    def is_trained(self, piece: int) -> bool:
        """Whether the label of any task at a token is trained on."""
        return any(labels[piece] not in (None, NO_LABEL) for labels in self.beside.values())


@dataclass(frozen=True)
class PartView:
    """What a step has of a data set.

    Attributes:
        name: Of the data set.
        num_examples: In the batch.
        step_size: The same on all processes together.
        num_tokens: Without padding; null: its inputs are no tokens.
        num_padding: Number of tokens of padding.
        num_cut: Number of examples that are cut off.
        tasks: That it labels.
        examples: Some of its examples.
        columns: Of an input of numbers, the name of each.
    """

    name: str
    num_examples: int
    step_size: int
    num_tokens: int | None
    num_padding: int
    num_cut: int
    tasks: Sequence[TaskView]
    examples: Sequence[ExampleView]
    columns: Mapping[str, Sequence[str]]

    def facts(self) -> str:
        """The size of the batch in words."""
        found = [_count(self.num_examples, "example")]
        if self.step_size > self.num_examples:
            found[0] += f" of {self.step_size:,} on all processes"
        if self.num_tokens is not None:
            padding = self.num_padding / max(self.num_tokens + self.num_padding, 1)
            found += [f"{_count(self.num_tokens, 'token')} and {padding:.0%} padding"]
        if self.num_cut:
            found.append(f"{self.num_cut:,} cut off")
        return ", ".join(found)


@dataclass(frozen=True)
class StepView:
    """A step.

    Attributes:
        title: Which step.
        notes: What else is to be known of it, a line each.
        parts: What it has of each data set that is shown.
    """

    title: str
    notes: Sequence[str]
    parts: Sequence[PartView]

    @property
    def labels_tokens(self) -> bool:
        """Whether labels stand beside tokens."""
        return any(example.beside for part in self.parts for example in part.examples)


def refuse_unknown(names: Sequence[str] | None, datasets: Sequence[str]) -> None:
    """Raises :class:`UserError` if a data set is asked for that there is not."""
    for name in names or ():
        if name not in datasets:
            raise UserError(f"--datasets: unknown data set '{name}'; {did_you_mean(name, datasets)}")


def view(step: OneStep, model: MultiTaskModule, data: MultiTaskDataModule, options: Options) -> StepView:
    """What to show of a step.

    Raises:
        UserError: If the step does not draw a data set that is asked for.
    """
    names = options.datasets or list(step.parts)
    for name in names:
        if name not in step.parts:
            drawn = ", ".join(step.parts)
            raise UserError(f"--datasets: step {options.step} does not draw '{name}'; it draws {drawn}")
    parts = [_part(name, step.parts[name], model, data, options.examples) for name in names]
    return StepView(_title(step, options.step), _notes(step, model, data), parts)


def _title(step: OneStep, number: int) -> str:
    return f"Step {number:,}: the {_ordinal(step.place + 1)} of {step.length:,} in epoch {step.epoch}"


def _notes(step: OneStep, model: MultiTaskModule, data: MultiTaskDataModule) -> list[str]:
    notes = [
        f"{type(data.schedule).__name__} draws {', '.join(step.parts)}",
        f"{type(model.weighting).__name__} balances the losses of {', '.join(model.trained_tasks)}",
    ]
    if (number := data.trainer.world_size) > 1:  # type: ignore[union-attr]
        notes.append(f"this is what the first of {number} processes sees")
    if (window := data.trainer.accumulate_grad_batches) > 1:  # type: ignore[union-attr]
        notes.append(f"{window} such steps make one step of the optimizer")
    return notes


def _part(name: str, part: Part, model: MultiTaskModule, data: MultiTaskDataModule, most: int) -> PartView:
    batch, processor, weights = part.batch, model.encoder.processor, model.weighting.constant_weights or {}
    inputs = [processor.shown(batch.inputs, example) for example in range(len(batch.examples))]
    pieces = [piece for each in inputs for shown in each if isinstance(shown, Tokens) for piece in shown.pieces]
    return PartView(
        name,
        len(batch.examples),
        batch.step_size,
        batch.num_tokens if pieces else None,
        sum(piece.mark is Mark.PADDING for piece in pieces),
        sum(origin.num_lost > 0 for origin in part.origins),
        [
            TaskView(task, type(model.tasks[task]).__name__, number, batch.shares.get(task), weights.get(task))
            for task, number in batch.counts.items()
        ],
        [_example(number, part, inputs[number], model.tasks) for number in range(min(most, len(inputs)))],
        _columns(data.datasets[name].inputs, inputs[0]),
    )


def _example(number: int, part: Part, inputs: Sequence[Shown], tasks: Mapping[str, Task]) -> ExampleView:
    words = {task: tasks[task].in_words(target[number]) for task, target in part.batch.targets.items()}
    pieces = next((shown.pieces for shown in inputs if isinstance(shown, Tokens)), ())
    beside = {task: _beside(labels, pieces) for task, labels in words.items() if isinstance(labels, list) and pieces}
    targets = {task: _in_a_line(labels) for task, labels in words.items() if task not in beside}
    return ExampleView(number + 1, part.origins[number], inputs, beside, targets)


def _beside(labels: Sequence[str | None], pieces: Sequence[Piece]) -> list[str | None]:
    """The labels at each token, those of all words that are read at it."""
    found: list[str | None] = []
    for piece in pieces:
        texts = [labels[place] for place in piece.positions if place < len(labels)]
        known = [text or TRAINED for text in texts if text is not None]
        found.append(" ".join(known) if known else NO_LABEL if texts and piece.mark is not Mark.PADDING else None)
    return found


def _in_a_line(label: Worded) -> str | None:
    if not isinstance(label, list):
        return label
    return " ".join(NO_LABEL if each is None else each or TRAINED for each in label)


def _columns(inputs: Mapping[str, Any], shown: Sequence[Shown]) -> dict[str, Sequence[str]]:
    """The columns of the data by the input that they make, where each gives it one number."""
    return {
        each.name: columns
        for each in shown
        if isinstance(each, Numbers)
        and isinstance(columns := inputs.get(each.name), list)
        and each.values.shape == (len(columns),)
    }


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'s' if number != 1 else ''}"


def _ordinal(number: int) -> str:
    """A number in a row.

    >>> _ordinal(1), _ordinal(12), _ordinal(23)
    ('1st', '12th', '23rd')
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
