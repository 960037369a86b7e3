"""Labels of words: a value for each word of an example."""

from collections.abc import Callable
from typing import Any, TypeVar

from mtl_lightning.errors import UserError, shown
from mtl_lightning.tasks.lists import items_of

T = TypeVar("T")


def each_word(value: Any, convert: Callable[[Any], T], what: str) -> list[T]:
    """Something for each word of a raw label.

    Args:
        value: A list, or the text that CSV makes of one.
        convert: What to make of a word's label.
        what: What a list holds, for messages.

    Raises:
        UserError: If it is no list, or ``convert`` raises one; it then says which word.
    """
    value = items_of(value)
    if not isinstance(value, list | tuple):
        raise UserError(f"expected a list of {what}, one a word, found {shown(value)}")
    converted = []
    for position, label in enumerate(value):
        try:
            converted.append(convert(label))
        except UserError as error:
            raise UserError(f"word {position + 1}: {error}", position) from error
    return converted
