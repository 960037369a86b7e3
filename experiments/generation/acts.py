"""Meaning representations of RNNLG: a dialogue act with its slots and their values."""

from typing import NamedTuple

Features = tuple[tuple[str, str], ...]
UNKNOWN = "?"
"""Stands for the value of a slot that is asked for."""
_SAME = {"true": "yes", "false": "no", "dont_care": "dontcare"}
SPECIAL = frozenset({"yes", "no", "none", "dontcare", UNKNOWN})
"""Values that a sentence puts into words of its own."""


class Act(NamedTuple):
    """A meaning representation.

    Attributes:
        name: Of the dialogue act.
        slots: Slots in order, each with its value, or ``?`` where it is asked for.
    """

    name: str
    slots: tuple[tuple[str, str], ...]

    @property
    def features(self) -> Features:
        """The act without its values: what one sentence can say of several acts.

        >>> parsed("?compare(name=b 1;name=a 2;hasusbport=false)").features
        (('?compare', ''), ('hasusbport', 'no'), ('name', '_1'), ('name', '_2'))
        """
        found, seen = list[tuple[str, str]](), dict[str, int]()
        for slot, value in self.slots:
            if value not in SPECIAL:
                seen[slot] = seen.get(slot, 0) + 1
                value = f"_{seen[slot]}"
            found.append((slot, value))
        return ((self.name, ""), *sorted(found))


def parsed(mr: str) -> Act:
    """The act that a meaning representation stands for.

    >>> parsed("?request(price range)").slots
    (('pricerange', '?'),)
    >>> parsed("inform(name='a 1';dogsallowed=dont_care)").slots
    (('name', 'a 1'), ('dogsallowed', 'dontcare'))
    """
    name, _, inside = mr.partition("(")
    return Act(name, tuple(_slot(part) for part in inside.replace(")", "").split(";") if part))


def _slot(part: str) -> tuple[str, str]:
    slot, is_known, value = (piece.strip("'\"") for piece in part.partition("="))
    value = _SAME.get(value, value) if is_known else UNKNOWN
    return slot.replace("_", "").replace(" ", ""), value
