"""Words that say in a data set that there is no label."""

from collections.abc import Collection, Iterable, Sequence
from numbers import Real
from typing import Any

from mtl_lightning.raw_labels.spelling import tidy

Missing = str | int | float | Sequence[str | int | float | None] | None
"""The setting ``missing``: a word or number that stands for a missing label, or several; null: none does."""

_WORDS = {"na", "n/a", "n.a.", "nan", "<na>", "#n/a", "none", "null", "nil", "nat", "missing", "unlabeled"}
_SIGNS = {"?", "-", "--", "_"}
_NUMBERS = ("-100", "-99", "-999", "-9999")


def is_missing(value: Any) -> bool:
    """Whether a raw label is missing whatever the settings say: None, an empty or blank text, or NaN."""
    if type(value) in (int, float):  # as most of a million rows are; the last line takes five times as long
        return bool(value != value)
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, Real) and value != value)


def missing_words(setting: Missing) -> frozenset[str]:
    """The words of a setting, tidy; null in a list is the word ``null``, as YAML writes it.

    >>> sorted(missing_words(["NA", None, -1]))
    ['-1', 'NA', 'null']
    """
    given = [] if setting is None else setting if isinstance(setting, list | tuple) else [setting]
    return frozenset("null" if word is None else tidy(str(word)) for word in given)


def likely_missing(names: Collection[str]) -> list[str]:
    """Those of some label names that often stand for a missing label; -1 where it precedes 0, 1 and 2.

    >>> likely_missing(["pos", "NA", "None"]), likely_missing(["-1", "0", "1"]), likely_missing(["-1", "0", "1", "2"])
    (['NA', 'None'], [], ['-1'])
    """
    tidied = {tidy(name): name for name in names}
    words = [name for name in names if name.strip().casefold() in _WORDS | _SIGNS]
    if "+" in tidied:
        words = [name for name in words if name.strip() != "-"]
    numbers = [n for n in (*_NUMBERS, *(["-1"] if {"0", "1", "2"} <= set(tidied) else [])) if n in tidied]
    return [*words, *(tidied[number] for number in numbers)]


def no_label(names: Collection[str]) -> str:
    """The hint that follows names that may stand for a missing label; empty where none does.

    >>> no_label(["NA"]), no_label(["pos"])
    ("; if it means 'no label', set `missing: ['NA']` on the task", '')
    """
    words = likely_missing(names)
    return f"; if it means 'no label', set `{as_setting(words)}` on the task" if words else ""


def as_setting(words: Iterable[str]) -> str:
    """How a config says that words mean "no label", also where a shell takes the quotes away.

    >>> as_setting(["NA"])
    "missing: ['NA']"
    """
    return f"missing: [{', '.join(repr(word) for word in words)}]"
