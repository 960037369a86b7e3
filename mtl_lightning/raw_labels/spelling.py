"""When two spellings are one name, and when they only look alike."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_WHOLE = re.compile(r"(-?\d+)\.0*")
_DECIMAL = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_SAME_SHAPE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u03bf\u03b1\u03c1", "aeopcyxijsoap"
)
"""Small Cyrillic and Greek letters, and the Latin ones that they look like."""

_GAP = re.compile(r"(?<=\w)[\s_-]+(?=\w)")


@lru_cache(2**16)
def tidy(name: str) -> str:
    r"""The spelling that a name shares with all that mean the same.

    Blanks and invisible characters around it are no part of a name, Unicode's composed and decomposed forms are one, a
    whole number is the same with ``.0`` (which pandas writes where a column has gaps), a truth value in any case.

    >>> tidy(" pos"), tidy("1.0"), tidy("TRUE"), tidy("cafe\u0301") == tidy("caf\u00e9")
    ('pos', '1', 'True', True)
    """
    name = unicodedata.normalize("NFC", name)
    while name != (bare := name.strip().strip(_INVISIBLE)):
        name = bare
    if whole := _WHOLE.fullmatch(name):
        return "0" if whole[1] == "-0" else whole[1]
    return name.title() if name.lower() in ("true", "false") else name


@lru_cache(2**16)
def look(name: str) -> str:
    """What names have in common that a reader may take for the same, though they may be meant apart.

    >>> look("New_York") == look("new york"), look("01") == look("1"), look("1.50") == look("1.5")
    (True, True, True)
    """
    name = unicodedata.normalize("NFKC", tidy(name)).casefold().translate(_SAME_SHAPE)
    name = "".join(c for c in name if unicodedata.category(c) != "Cf")
    if len(name) < 100 and _DECIMAL.fullmatch(name):
        return str(int(name)) if name.lstrip("+-").isdigit() else repr(float(name))
    return {"true": "1", "false": "0"}.get(name) or _GAP.sub(" ", name).strip()


class Names:
    """Finds a name among others: as it is spelt, else by its :func:`tidy` spelling where only one has that.

    >>> Names(["1", "2"]).find("2.0")
    1
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.exact = {name: position for position, name in enumerate(names)}
        self._tidy: dict[str, int | None] = {}
        for name, position in self.exact.items():
            self._tidy[tidy(name)] = None if tidy(name) in self._tidy else position

    def find(self, name: str) -> int | None:
        """Position of a name, None if it is not there."""
        position = self.exact.get(name)
        return self._tidy.get(tidy(name)) if position is None else position
