"""Labels of one text to learn, and of others that would be right as well: its tokens, a gap, and those of the others.

A gap is ``IGNORE``, as is what fills up the rows of a batch.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.errors import UserError, shown
from mtl_lightning.tasks.base import IGNORE


def is_list_of_texts(value: Any) -> bool:
    """Whether a raw label lists references rather than messages."""
    return isinstance(value, list) and not (value and isinstance(value[0], Mapping))


def check_references(texts: Sequence[Any]) -> None:
    """Raises :class:`UserError` if there is none, or one of them is no text."""
    if not texts:
        raise UserError("the list is empty; give a text or a message, or null where the answer is not known")
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"reference {number}: expected a text to write, found {shown(text)}")


def with_references(learnt: Sequence[int], references: Sequence[Sequence[int]]) -> list[int]:
    """A label of the tokens to learn and of those of references.

    >>> with_references([5, 6], [[5, 6], [7]])
    [5, 6, -100, 5, 6, -100, 7]
    """
    return [*learnt, *(token for each in references for token in (IGNORE, *each))]


def learnt(targets: Tensor, length: int) -> Tensor:
    """The tokens to learn, without references.

    Args:
        targets: Labels [..., T].
        length: Of the longest text to learn; T where there are no references.

    >>> learnt(torch.tensor([[5, 6, -100, 7], [8, -100, 9, -100]]), 2)
    tensor([[   5,    6],
            [   8, -100]])
    """
    targets = targets[..., :length]
    return torch.where(torch.ne(targets, IGNORE).long().cumprod(-1) > 0, targets, IGNORE)


def apart(learnt: Sequence[int], references: Sequence[Sequence[int]], length: int) -> list[int]:
    """The same label with the tokens to learn filled up to ``length``, so that they are the first ones of each row.

    >>> apart([5, 6], [[5, 6], [7]], 3)
    [5, 6, -100, -100, 5, 6, -100, 7]
    """
    return with_references([*learnt, *[IGNORE] * (length - len(learnt))], references)


def number_learnt(target: Sequence[int]) -> int:
    """How many tokens of a label are to be learnt."""
    found = list(target)
    return found.index(IGNORE) if IGNORE in found else len(found)


def references_in(target: Sequence[int]) -> list[list[int]]:
    """The tokens of the references of a label; none, where the text to learn is the only one that is right.

    >>> references_in([5, 6, -100, 5, 6, -100, 7, -100]), references_in([5, -100])
    ([[5, 6], [7]], [])
    """
    rest = target[number_learnt(target) :]
    return [list(tokens) for real, tokens in groupby(rest, lambda token: token != IGNORE) if real]
