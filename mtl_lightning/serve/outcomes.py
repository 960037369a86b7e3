"""Predictions of a batch, of which each input is judged by itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mtl_lightning.errors import UserError
from mtl_lightning.serve.models import Model
from mtl_lightning.strict_json import to_json


class Outcome(NamedTuple):
    """What became of one input.

    Attributes:
        text: Its predictions as JSON; or why there are none.
        is_refused: Whether it is the latter.
    """

    text: str
    is_refused: bool = False


def outcomes(model: Model, columns: Mapping[str, Sequence[Any]], tasks: Sequence[str] | None) -> list[Outcome]:
    """What becomes of each input; one that is bad takes no other one along.

    Args:
        model: What predicts.
        columns: Values of each input, N of them.
        tasks: Names of those to predict; null: all.
    """
    return list(_of(model, columns, tasks, len(next(iter(columns.values())))))


def _of(
    model: Model, columns: Mapping[str, Sequence[Any]], tasks: Sequence[str] | None, size: int
) -> Iterator[Outcome]:
    try:
        yield from [Outcome(to_json(found)) for found in model.predict(columns, size, tasks)]
    except UserError as error:
        if size == 1:
            yield Outcome(str(error), is_refused=True)
            return
        middle = size // 2
        for half in (slice(middle), slice(middle, size)):
            part = {name: values[half] for name, values in columns.items()}
            yield from _of(model, part, tasks, len(next(iter(part.values()))))
