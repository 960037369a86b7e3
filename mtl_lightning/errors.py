"""The one exception that means "fix your input", and the sentence that names the nearest match."""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any


class UserError(ValueError):
    """A mistake in what the user gave: a config, a file, a label. The command line prints it as one line, status 2.

    Args:
        message: What is wrong, where, and how to fix it.
        word: Where the mistake is in a list of words or tags, its position in it.
        part: Where it is in an input of several columns, the position of the column.
        of: The input, where several have columns.
    """

    def __init__(self, message: str, word: int | None = None, part: int | None = None, of: str | None = None) -> None:
        super().__init__(message)
        self.word = word
        self.part = part
        self.of = of


def shown(value: object, width: int = 80) -> str:
    """A value as a message shows it: as Python writes it, cut where it is long.

    >>> shown("a" * 100, width=12)
    "'aaaaaaaa…'"
    """
    text = repr(value[: width + 1] if isinstance(value, str | bytes | list | tuple) else value)
    return text if len(text) <= width else f"{text[: width - 3]}…{text[-1]}"


_DECIMAL_COMMA = re.compile(r"\s*[-+]?[\d.]*\d,\d+\s*")


def hint_of_comma(value: Any) -> str:
    """The hint that follows a text which is a number with a decimal comma; empty for any other value.

    >>> hint_of_comma("1.234,5")
    "; write a point instead of the comma, or set `decimal: ','` on a CSV file"
    """
    comma = isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value)
    return "; write a point instead of the comma, or set `decimal: ','` on a CSV file" if comma else ""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """The hint that follows an unknown name.

    Args:
        name: What was found.
        choices: What would have been understood.

    Returns:
        ``did you mean 'x'?``, or the list of choices where none is near.

    >>> did_you_mean("acuracy", ["accuracy", "f1"])
    "did you mean 'accuracy'?"
    >>> did_you_mean("acc", ["accuracy", "ace"])
    "did you mean 'accuracy'?"
    >>> did_you_mean("label", ["label_maps", "labels"])
    "did you mean 'labels'?"
    >>> did_you_mean("zzz", ["accuracy", "f1"])
    'choose from accuracy, f1'
    """
    return _nearest(str(name)[:200], tuple(sorted({choice for choice in choices if choice.strip()})))


@lru_cache(4096)
def _nearest(name: str, choices: Sequence[str]) -> str:
    lower = {choice.lower(): choice for choice in choices}
    longer = sorted((choice for choice in lower if choice.startswith(name.lower())), key=len) if len(name) > 2 else []
    near = longer or get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if near:
        return f"did you mean {lower[near[0]]!r}?"
    first = ", ".join(choice[:60] for choice in choices[:12])
    return f"choose from {first}{', …' if len(choices) > 12 else ''}" if choices else "nothing may stand there"


def led_to(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that led to it, the latest first, each once: some are raised from each other."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def with_notes(line: str, error: BaseException) -> str:
    """A line on an exception, with what was noted of it on its way.

    >>> error = UserError("cannot write a")
    >>> error.add_note("3 predictions are in b")
    >>> with_notes(f"error: {error}", error)
    'error: cannot write a; 3 predictions are in b'
    """
    return "; ".join([line, *getattr(error, "__notes__", [])])
