"""Predictions of a batch, of which each input is judged by itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mtl_lightning.errors import UserError
from mtl_lightning.exported.graph import NotComputedError
from mtl_lightning.named_files import kept_closed
from mtl_lightning.serve.models import Model
from mtl_lightning.serve.sizes import characters
from mtl_lightning.strict_json import to_json


class Outcome(NamedTuple):
    """What became of one input.

    Attributes:
        text: Its predictions as JSON; or why there are none.
        status: Of HTTP: 200; 422 where the input is no good; 500 where it was read and the model failed.
    """

    text: str
    status: int = 200


def outcomes(
    model: Model, columns: Mapping[str, Sequence[Any]], tasks: Sequence[str] | None, at_once: int | None = None
) -> list[Outcome]:
    """What becomes of each input; one that is bad takes no other one along.

    Args:
        model: What predicts.
        columns: Values of each input, N of them.
        tasks: Names of those to predict; null: all.
        at_once: Inputs of one pass, of similar length, so that little is filled up; null: all.
    """
    sizes = [sum(map(characters, values)) for values in zip(*columns.values(), strict=True)]
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    found: dict[int, Outcome] = {}
    step = at_once or len(order)
    for first in range(0, len(order), step):
        numbers = order[first : first + step]
        found |= zip(numbers, _of(model, columns, tasks, numbers), strict=True)
    return [found[number] for number in range(len(sizes))]


def _of(
    model: Model, columns: Mapping[str, Sequence[Any]], tasks: Sequence[str] | None, numbers: Sequence[int]
) -> Iterator[Outcome]:
    """Outcomes of some inputs; where they cannot be had at once, of each half by itself."""
    part = {name: [values[number] for number in numbers] for name, values in columns.items()}
    try:
        with kept_closed():
            predicted = model.predict(part, len(numbers), tasks)
        yield from [Outcome(to_json(found)) for found in predicted]
    except UserError as error:
        if len(numbers) == 1:
            yield Outcome(str(error), status=500 if isinstance(error, NotComputedError) else 422)
            return
        middle = len(numbers) // 2
        for half in (numbers[:middle], numbers[middle:]):
            yield from _of(model, columns, tasks, half)
