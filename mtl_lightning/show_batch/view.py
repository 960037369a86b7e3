"""What is shown of a step, before it is a screen or a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mtl_lightning.data.one_step import Origin
from mtl_lightning.encoders.shown import PackedRow, Shown, Tokens

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
        words: Numbers of the words that are read at each piece; nothing where no label names them.
    """

    number: int
    origin: Origin
    inputs: Sequence[Shown]
    beside: Mapping[str, Sequence[str | None]]
    targets: Mapping[str, str | None]
    words: Sequence[str | None] = ()

    @property
    def rows(self) -> Mapping[str, Sequence[str | None]]:
        """What stands below the pieces of the first input of tokens, a row each."""
        return {**({"word": self.words} if self.words else {}), **self.beside}

    def columns_of(self, tokens: Tokens) -> tuple[Mapping[str, Sequence[str | None]], Sequence[bool]]:
        """What stands below the pieces of an input, and whether each is trained on."""
        if tokens is not next(shown for shown in self.inputs if isinstance(shown, Tokens)):
            return {}, [False] * len(tokens.pieces)
        return self.rows, [self.is_trained(place) for place in range(len(tokens.pieces))]

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
        packed: Rows in which the model reads several sequences; none: each has its own.
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
    packed: Sequence[PackedRow] = ()

    def rows(self) -> list[str]:
        """What stands in packed rows, a line each."""
        return [
            f"row {number}: {count(row.size, 'token')}, example{'s' * (len(row.sequences) > 1)} "
            + " │ ".join(str(sequence + 1) for sequence in row.sequences)
            + (f", padding {row.num_padding:,}" if row.num_padding else "")
            for number, row in enumerate(self.packed, start=1)
        ]

    def facts(self) -> str:
        """The size of the batch in words."""
        found = [count(self.num_examples, "example")]
        if self.step_size > self.num_examples:
            found[0] += f" of {self.step_size:,} on all processes"
        if self.num_tokens is not None:
            padding = self.num_padding / max(self.num_tokens + self.num_padding, 1)
            packed = f" in {count(len(self.packed), 'packed row')}" if self.packed else ""
            found += [f"{count(self.num_tokens, 'token')} and {padding:.0%} padding{packed}"]
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


def count(number: int, of: str) -> str:
    """A number of things.

    >>> count(1, "token"), count(1200, "token")
    ('1 token', '1,200 tokens')
    """
    return f"{number:,} {of}{'s' if number != 1 else ''}"
