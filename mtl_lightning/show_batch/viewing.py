"""Makes of a step what is shown of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.data.one_step import OneStep, Part
from mtl_lightning.encoders.shown import Mark, Numbers, Piece, Shown, Tokens
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.show_batch.options import Options
from mtl_lightning.show_batch.view import NO_LABEL, TRAINED, ExampleView, PartView, StepView, TaskView
from mtl_lightning.tasks.in_words import Worded
from mtl_lightning.training.module import MultiTaskModule


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
    if (window := data.trainer.accumulate_grad_batches * model.batches_per_step) > 1:  # type: ignore[union-attr]
        notes.append(f"{window} such steps make one step of the optimizer")
    return notes


def _part(name: str, part: Part, model: MultiTaskModule, data: MultiTaskDataModule, most: int) -> PartView:
    batch, processor, weights = part.batch, model.encoder.processor, model.weighting.constant_weights or {}
    inputs = [processor.shown(batch.inputs, example) for example in range(len(batch.examples))]
    if packed := processor.packed_rows(batch.inputs):
        inputs = [[_without_padding(shown) for shown in each] for each in inputs]
    pieces = [piece for each in inputs for shown in each if isinstance(shown, Tokens) for piece in shown.pieces]
    return PartView(
        name,
        len(batch.examples),
        batch.step_size,
        batch.num_tokens if pieces else None,
        sum(piece.mark is Mark.PADDING for piece in pieces) + sum(row.num_padding for row in packed),
        sum(number > 0 for number in part.num_lost),
        [
            TaskView(task, type(model.tasks[task]).__name__, number, batch.shares.get(task), weights.get(task))
            for task, number in batch.counts.items()
        ],
        [_example(number, part, inputs[number], model) for number in range(min(most, len(inputs)))],
        _columns(data.datasets[name].inputs, inputs[0]),
        packed,
    )


def _example(number: int, part: Part, inputs: Sequence[Shown], model: MultiTaskModule) -> ExampleView:
    tasks, processor = model.tasks, model.encoder.processor
    names = (processor.for_heads - processor.of_batch) & part.batch.inputs.keys()
    given = {name: part.batch.inputs[name][number] for name in names}
    words = {task: tasks[task].in_words_of(target[number], given) for task, target in part.batch.targets.items()}
    pieces = next((shown.pieces for shown in inputs if isinstance(shown, Tokens)), ())
    beside = {task: _beside(labels, pieces) for task, labels in words.items() if isinstance(labels, list) and pieces}
    targets = {task: _in_a_line(labels) for task, labels in words.items() if task not in beside}
    numbered = any(tasks[task].says_numbers for task, labels in words.items() if labels is not None)
    numbers = [" ".join(str(place + 1) for place in piece.positions) or None for piece in pieces] if numbered else []
    return ExampleView(number + 1, part.origins[number], inputs, beside, targets, numbers)


def _beside(labels: Sequence[str | None], pieces: Sequence[Piece]) -> list[str | None]:
    """The labels at each token, those of all words that are read at it."""
    found: list[str | None] = []
    for piece in pieces:
        texts = [labels[place] for place in piece.positions if place < len(labels)]
        known = [text or TRAINED for text in texts if text is not None]
        found.append(" ".join(known) if known else NO_LABEL if texts and piece.mark is not Mark.PADDING else None)
    return found


def _without_padding(shown: Shown) -> Shown:
    """What the model reads where rows are packed."""
    if not isinstance(shown, Tokens):
        return shown
    return shown._replace(pieces=[piece for piece in shown.pieces if piece.mark is not Mark.PADDING])


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


def _ordinal(number: int) -> str:
    """A number in a row.

    >>> _ordinal(1), _ordinal(12), _ordinal(23)
    ('1st', '12th', '23rd')
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
