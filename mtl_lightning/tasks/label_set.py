"""Looks at the labels of a training split once: which spellings are one label, and what looks like a mistake."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import Counted, as_setting, likely_missing, look, tidy
from mtl_lightning.tasks.lists import listed, looks_like_list

Tally = Mapping[str, int]
"""How often each label name occurs."""

_MEANT = "if they are meant, list all labels in `labels`"
_SHOWN = 3
_LONG = 200
_MANY = 30
_FEW = 10
"""So many labels that occur once each may be a small example; with more of them nothing can be learnt."""


def counted(values: Iterable[Any]) -> Iterator[Counted]:
    """Raw labels with their counts; a bare one counts once."""
    return (value if isinstance(value, Counted) else Counted(value, 1) for value in values)


def one_spelling(tally: Tally) -> tuple[dict[str, int], list[str]]:
    """Joins the spellings of a name: it gets the one that is found or, of several, the tidy one.

    Returns:
        The names and their counts, and a note on each name that is joined.

    >>> one_spelling({"1": 2, "1.0": 1, "0": 2})
    ({'1': 3, '0': 2}, ["'1' (2) and '1.0' (1) are read as one label, '1'"])
    """
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for name in tally:
        spellings[tidy(name)].append(name)
    joined, notes = {}, []
    for name, found in spellings.items():
        joined[found[0] if len(found) == 1 else name] = sum(tally[spelling] for spelling in found)
        if len(found) > 1:
            notes.append(f"{_listed(tally, found)} are read as one label, {_escaped(name)}")
    return joined, _first(notes, "more labels are in several spellings")


def doubts(tally: Tally, several: str, none: str = "") -> list[str]:
    """What looks like a mistake in a label set, a line each.

    Args:
        tally: Of the training split, each name in one spelling.
        several: What to do where a label is several; ``{}`` stands for the character between them.
        none: What else a word that may mean "no label" may mean, and the setting for it.

    Raises:
        UserError: If every one of many labels occurs once: nothing can be learned from them.
    """
    if (rare := _rare(tally)) is not None:
        return [rare]
    found = (_missing(tally, none), _alike(tally), _lists(tally, several), _parts(tally, several), _numbers(tally))
    return [doubt for doubt in found if doubt is not None]


def _rare(tally: Tally) -> str | None:
    total = sum(tally.values())
    said = f"the training split has {len(tally):,} labels in {total:,} places"
    ask = "is its column an id, a free text, or a number (`Regression`)?"
    if len(tally) > _FEW and total == len(tally):
        raise UserError(f"{said}, each once, such as {_examples(tally)}: {ask} If it is meant, list them in `labels`")
    if len(tally) > _FEW and 3 * len(tally) >= total:
        return f"{said}, such as {_examples(tally)}: {ask}"
    longest = max(tally, key=len)
    if len(longest) > _LONG:
        return f"the label {shown(longest, 40)} has {len(longest):,} characters: {ask}"
    return None


def _missing(tally: Tally, none: str) -> str | None:
    words = likely_missing(tally)
    if not words:
        return None
    setting = as_setting(map(tidy, words))
    return f"{_listed(tally, words)} may mean 'no label': then set `{setting}`{none}; {_MEANT}"


def _alike(tally: Tally) -> str | None:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in tally:
        groups[look(name)].append(name)
    alike = _first([_listed(tally, names) for names in groups.values() if len(names) > 1], "more such groups")
    if not alike:
        return None
    remedy = "make one of them by `label_maps`, or fix the data"
    return f"{'; '.join(alike)} look alike but are different labels: {remedy}; {_MEANT}"


def _lists(tally: Tally, several: str) -> str | None:
    lists = [name for name in tally if _is_list(name)]
    return f"labels such as {_examples(lists)} look like lists: {several.format(',')}" if lists else None


def _parts(tally: Tally, several: str) -> str | None:
    """Labels such as ``a|b`` where ``a`` or ``b`` is part of another one, too."""
    for separator in "|;,":
        joint = [name for name in tally if separator in name.strip(separator) and not _is_list(name)]
        parts = Counter(tidy(part) for name in joint for part in set(name.split(separator)))
        alone = set(tally).difference(joint)
        if any(count > 1 or part in alone for part, count in parts.items()):
            remedy = several.format(separator)
            return f"labels such as {_examples(joint)} look like several joined by '{separator}': {remedy}"
    return None


def _numbers(tally: Tally) -> str | None:
    """Labels that are numbers with a fraction, or many whole ones with gaps between them."""
    if not all(map(_is_number, tally)):
        return None
    telling = [name for name in tally if "." in name and _is_fraction(name)]
    if len(telling) < 2:
        numbers = sorted(tally, key=float)
        if len(tally) < _MANY or float(numbers[-1]) - float(numbers[0]) < 2 * len(tally):
            return None
        telling = [numbers[0], numbers[-1]]
    return (
        f"all labels are numbers, such as {_examples(telling)}: if they measure something, use `Regression`; {_MEANT}"
    )


def _is_list(name: str) -> bool:
    """Whether a name is the text of a list; a single word in brackets, such as ``[UNK]``, is none."""
    if not looks_like_list(name) or not set(name) & set(",'\""):
        return False
    try:
        return listed(name) is not None
    except UserError:
        return True


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _is_fraction(name: str) -> bool:
    return _is_number(name) and not float(name).is_integer()


def _escaped(name: str) -> str:
    """A name whose differences can be seen: letters that look the same in another form show as their code."""
    foreign = not name.isascii() and (name != tidy(name) or look(name).isascii())
    return ascii(name)[:80] if foreign else shown(name)


def _listed(tally: Tally, names: Collection[str]) -> str:
    """Some names with their counts."""
    some = [f"{_escaped(name)} ({tally[name]:,})" for name in list(names)[: 2 * _SHOWN]]
    return f"{', '.join(some)} and {len(names) - len(some):,} more" if len(names) > len(some) else _and(some)


def _examples(names: Iterable[str]) -> str:
    return _and([shown(name, 40) for name in list(names)[:2]])


def _and(texts: list[str]) -> str:
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else texts[0]


def _first(texts: list[str], more: str) -> list[str]:
    """The first of some texts, and how many there are besides."""
    rest = len(texts) - _SHOWN
    return [*texts[:_SHOWN], *([f"{rest:,} {more}"] if rest > 0 else [])]
