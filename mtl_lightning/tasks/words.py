"""Labels of words: a value for each word of an example, and predictions beside the words."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mtl_lightning.errors import UserError, shown
from mtl_lightning.tasks.contracts import InputWords
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


def beside_words(
    decoded: dict[str, Any], words: InputWords, keys: Sequence[str] = ("labels", "probabilities")
) -> dict[str, Any]:
    """A prediction of words beside its input: what it lists for each word is null for those that were cut off.

    Where the input is a text, ``words`` and their ``offsets`` in it follow.

    Args:
        decoded: What ``decode`` made of one example.
        words: All words of the input.
        keys: Names of these lists.
    """
    placed = decoded | {key: decoded[key] + [None] * (len(words.words) - len(decoded[key])) for key in keys}
    if words.text is not None:
        placed |= {"words": list(words.words), "offsets": [list(offset) for offset in words.offsets]}
    return placed
