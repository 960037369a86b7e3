"""From logits to what is predicted, and from raw inputs to logits."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.chains import Chain
from mtl_lightning.encoders import Encoder, InputProcessor
from mtl_lightning.encoders.modes import in_evaluation
from mtl_lightning.errors import UserError, shown
from mtl_lightning.inputs.words import Words
from mtl_lightning.tasks import Task

Placer = Callable[[dict[str, Any], Words], dict[str, Any]]
"""See :meth:`.Task.place`."""


def decodable(
    tasks: Mapping[str, Task], representations: Mapping[str, Any], chain: Chain, wanted: Sequence[str] | None = None
) -> dict[str, Task]:
    """The tasks whose heads, and those of the tasks that they read, can read what the sharing made for them.

    Args:
        tasks: By name.
        representations: What the heads read, by task.
        chain: How tasks read others.
        wanted: Names of tasks; null: all that can be predicted.

    Raises:
        UserError: If a task that is wanted cannot be predicted on these inputs.
    """
    readable = {n for n, made in representations.items() if chain.link(n).can_read(tasks[n], made)}
    for name in wanted or ():
        if missing := [other for other in chain.read_by([name]) if other not in readable]:
            needed = " and ".join(f"`{each}`" for each in tasks[missing[0]].required_inputs).replace("|", "` or `")
            words = f"reads more than these inputs have; give the input {needed}"
            if not needed:
                words = "labels words, which these inputs do not have; give the input `tokens`"
            raise UserError(f"task '{missing[0]}' {words}")
    names = tasks if wanted is None else wanted
    return {name: tasks[name] for name in names if readable.issuperset(chain.read_by([name]))}


def decode(
    tasks: Mapping[str, Task], logits: Mapping[str, Tensor], masks: Mapping[str, Tensor | None]
) -> list[dict[str, Any]]:
    """Decoded predictions: for each example ``{task: {"label": …, "probability": …}}``.

    Args:
        tasks: By name.
        logits: Of each, as its ``forward`` returned them.
        masks: True at real positions [B, L], where there are positions.
    """
    decoded = {name: task.decode(logits[name], masks[name]) for name, task in tasks.items()}
    return [dict(zip(decoded, row, strict=True)) for row in zip(*decoded.values(), strict=True)]


def first_alike(tasks: Mapping[str, Task]) -> dict[str, str]:
    """For each task the first one that predicts the same, often itself; see :attr:`Task.writes_as`."""
    firsts: dict[tuple[type, str], str] = {}
    return {
        name: name if (how := task.writes_as) is None else firsts.setdefault((type(task), how), name)
        for name, task in tasks.items()
    }


def placers(tasks: Mapping[str, Task]) -> dict[str, Placer]:
    """What puts predictions of each task beside their input."""
    return {name: task.placer() for name, task in tasks.items()}


def placed(placers: Mapping[str, Placer], predicted: Mapping[str, Any], words: Words | None) -> dict[str, Any]:
    """A prediction beside its input's words.

    Args:
        placers: By task.
        predicted: Decoded prediction of one example, by task.
        words: Of the example, or its choices; null: it has none.
    """
    if words is None:
        return dict(predicted)
    return {name: placers[name](each, words) for name, each in predicted.items()}


def raw_batches(
    processor: InputProcessor, columns: Mapping[str, Sequence[Any]], batch_size: int
) -> Iterator[tuple[dict[str, Tensor], list[Words | None]]]:
    """Encodes and collates raw inputs.

    Args:
        processor: The encoder's.
        columns: Raw values by input name, each a list of N.
        batch_size: Examples in a batch, at least 1.

    Yields:
        The encoder's inputs [B, ...], and the words of each example.

    Raises:
        UserError: If the lists differ in length, or for a value that is no such input.
    """
    _check(processor, columns, batch_size)
    encoded = processor.encode(columns)
    examples = [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
    words: list[Words | None] = [None] * len(examples)
    for name in processor.placed_in:
        if name in columns:
            words = [processor.words(value) for value in columns[name]]
    for first in range(0, len(examples), batch_size):
        part = slice(first, first + batch_size)
        yield processor.collate(examples[part]), words[part]


def _check(processor: InputProcessor, columns: Mapping[str, Sequence[Any]], batch_size: int) -> None:
    if batch_size < 1:
        raise UserError(f"`batch_size` must be at least 1, found {batch_size}")
    if not columns or not set(columns) <= set(processor.inputs):
        raise UserError(f"the encoder reads {' or '.join(processor.inputs)}, found {', '.join(columns) or 'nothing'}")
    for name, values in columns.items():
        if isinstance(values, str):
            raise UserError(f"input '{name}': expected a list, one value for each example, found {shown(values)}")
    if len({len(values) for values in columns.values()}) > 1:
        found = ", ".join(f"{len(values)} of '{name}'" for name, values in columns.items())
        raise UserError(f"expected as many values of each input, found {found}")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Turns dropout and the like off, without gradients; afterwards every module is in the mode that it was in."""
    with in_evaluation(model), torch.no_grad():
        yield


@contextmanager
def keeping(encoder: Encoder, keeps: bool) -> Iterator[None]:
    """Tells an encoder whether to hand over what it keeps of the inputs, for tasks that write behind them."""
    before, encoder.keeps = encoder.keeps, keeps
    try:
        yield
    finally:
        encoder.keeps = before


@contextmanager
def predicting(tasks: Iterable[Task]) -> Iterator[None]:
    """Tells tasks that what their heads return is for ``decode`` alone."""
    held = list(tasks)
    for task in held:
        task.is_predicting = True
    try:
        yield
    finally:
        for task in held:
            task.is_predicting = False
