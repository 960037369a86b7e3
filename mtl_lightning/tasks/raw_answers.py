"""Answers that stand in a context, as a data set gives them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mtl_lightning.errors import UserError, shown


class Answer(NamedTuple):
    """A text that stands in a context.

    Attributes:
        text: What stands there.
        start: Where it begins, in characters; null: the data does not say, and it is looked for.
    """

    text: str
    start: int | None = None


def answers_of(value: Any) -> list[Answer]:
    """The right answers of a question.

    Args:
        value: A list of objects ``{text, start}`` (``answer_start`` may stand for ``start``) or of texts; an object
            of two lists, ``{text: […], answer_start: […]}``, as SQuAD has it; or one answer. None of them: the question
            has no answer.

    Raises:
        UserError: If it is no such thing.

    >>> answers_of({"text": ["Paris"], "answer_start": [10]})
    [Answer(text='Paris', start=10)]
    """
    if isinstance(value, Mapping) and isinstance(texts := value.get("text"), list):
        given = _start_of(value)
        starts = [None] * len(texts) if given in (None, []) else given
        if not isinstance(starts, list):
            raise UserError(f"`text` is a list of answers, so their places must be one too, found {shown(starts)}")
        if len(starts) != len(texts):
            raise UserError(f"there are {len(texts)} answers, but {len(starts)} places where they start")
        value = [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    items = list(value) if isinstance(value, list | tuple) else [value]
    return [answer for answer in map(_answer, items) if answer.text]


def found_in(answer: Answer, context: str) -> tuple[int, int]:
    """Start and end (exclusive) of an answer in its context, without white space around it.

    Raises:
        UserError: If it does not stand there; it shows the place and the text.
    """
    start = context.find(answer.text) if answer.start is None else answer.start
    if not context[max(start, 0) :].startswith(answer.text) or start < 0:
        stands = f"where {shown(context[start : start + len(answer.text)])} stands" if start >= 0 else "anywhere"
        place = "" if answer.start is None else f" at character {answer.start} (counted from 0),"
        raise UserError(f"the answer {shown(answer.text)} does not stand in the context{place} {stands}")
    return start, start + len(answer.text)


def _answer(item: Any) -> Answer:
    if isinstance(item, str):
        return _stripped(item, None)
    if isinstance(item, Mapping) and isinstance(item.get("text"), str):
        start = _start_of(item)
        if start is None or (type(start) is int and start >= 0):
            return _stripped(item["text"], start)
    raise UserError(f"expected answers {{text, start}}, start being the character where it begins, found {shown(item)}")


def _start_of(item: Mapping[str, Any]) -> Any:
    return item.get("start") if item.get("start") is not None else item.get("answer_start")


def _stripped(text: str, start: int | None) -> Answer:
    inner = text.strip()
    return Answer(inner, None if start is None else start + len(text) - len(text.lstrip()))
