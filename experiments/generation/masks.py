"""Data without values: a mask for each value of a meaning representation, as the systems of RNNLG's authors read it."""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from experiments.generation.acts import SPECIAL, UNKNOWN, Act, parsed
from experiments.generation.texts import delexicalised, lexicalised, mark, normalised


def numbered(act: Act) -> Act:
    """The act with a number behind each slot that occurs again, so that no two values share a mask.

    >>> numbered(parsed("?compare(name=b 1;name=a 2)")).slots
    (('name', 'b 1'), ('name2', 'a 2'))
    """
    seen = dict[str, int]()
    found = []
    for slot, value in act.slots:
        seen[slot] = seen.get(slot, 0) + 1
        found.append((f"{slot}{seen[slot]}" if seen[slot] > 1 else slot, value))
    return Act(act.name, tuple(found))


def masked(mr: str) -> str:
    """The meaning representation with masks for its values.

    >>> masked("inform(name='a 1';dogsallowed=yes;type)")
    'inform(name=SLOT_NAME;dogsallowed=yes;type)'
    """
    act = numbered(parsed(mr))
    return f"{act.name}({';'.join(_slot(slot, value) for slot, value in act.slots)})"


def masked_text(text: str, mr: str) -> str:
    """A normalised sentence with masks for the values of its meaning representation.

    >>> masked_text("A 2 is better than B 1 .", "?compare(name=b 1;name=a 2)")
    'SLOT_NAME2 is better than SLOT_NAME'
    """
    return delexicalised(normalised(text), numbered(parsed(mr)))


def unmasked_text(text: str, mr: str) -> str:
    """A sentence with the values of a meaning representation for their masks; a mask that stands twice, twice.

    >>> unmasked_text("SLOT_NAME2 is better than SLOT_NAME", "?compare(name=b 1;name=a 2)")
    'a 2 is better than b 1'
    """
    act = numbered(parsed(mr))
    while (filled := lexicalised(text, act)) != text:
        text = filled
    return text


def write(folder: Path, splits: Mapping[str, Iterable[tuple[str, str]]]) -> None:
    """Writes files as ``configs/generation.yaml`` reads them, ``laptop-train.jsonl.gz`` and so on.

    Args:
        folder: Where to.
        splits: Meaning representations with people's texts, by the file's name without its ending.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        lines = (json.dumps({"mr": masked(mr), "text": masked_text(text, mr)}) for mr, text in rows)
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


def _slot(slot: str, value: str) -> str:
    if value == UNKNOWN:
        return slot
    return f"{slot}={value if value in SPECIAL else mark(slot)}"
