"""Names that a user gives, and that become part of tables, logs and paths."""

from collections.abc import Collection, Sequence

from mtl_lightning.errors import UserError, did_you_mean, shown

LONGEST = 128
"""Letters; what Weights & Biases takes."""

_BYTES = 200
"""A file system takes 255 of them; dates, seeds and keys are added."""


def checked_name(key: str, name: str) -> str:
    """The name itself.

    Args:
        key: Of the setting, for messages.
        name: What the user gave.

    Raises:
        UserError: If it is blank, too long, or has characters that cannot be seen.
    """
    if not name.strip():
        raise UserError(f"{key}: the name {name[:80]!r} is blank; give a word")
    if not name.isprintable():
        raise UserError(f"{key}: {name[:80]!r} has letters that no name should have; leave them out")
    if len(name) > LONGEST:
        raise UserError(f"{key}: '{name[:40]}…' has {len(name)} letters; give at most {LONGEST}")
    return name


def checked_path(key: str, name: str, folder: str) -> str:
    """A name under which there are folders; ``a/b`` is one inside another.

    Args:
        key: Of the setting, for messages.
        name: What the user gave.
        folder: Where they are to stay.

    Raises:
        UserError: As :func:`checked_name`, or if it leads out of the folder, or a part of it is too long.
    """
    if not name.strip() or name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
        raise UserError(f"{key}: '{checked_name(key, name)[:80]}' would lead out of the folder '{folder}'; give a word")
    if max(len(part.encode(errors="replace")) for part in checked_name(key, name).split("/")) > _BYTES:
        raise UserError(f"{key}: '{name[:40]}…' is longer than the {_BYTES} bytes that a folder's name may have")
    return name


def part_of_path(text: str, most: int = 100) -> str:
    """The text as part of the name of a file: letters, digits and ``._+-`` alone, of at most so many bytes.

    >>> part_of_path("a/b: c")
    'a-b--c'
    """
    plain = "".join(letter if letter.isalnum() or letter in "._+" else "-" for letter in text)
    return plain.encode()[:most].decode(errors="ignore")


def names_asked(place: str, asked: str | Sequence[str], tasks: Collection[str]) -> list[str]:
    """The names of the tasks that somebody asks for, each once.

    Args:
        place: Where they are given, for messages.
        asked: Names, or a text of names separated by commas.
        tasks: The names that there are.

    Raises:
        UserError: If there is none, or one is no task's.

    >>> names_asked("tasks", "b, a", ["a", "b", "c"])
    ['b', 'a']
    """
    names = list(dict.fromkeys([n.strip() for n in asked.split(",")] if isinstance(asked, str) else asked))
    if not any(names):
        raise UserError(f"{place}: no task is named; {did_you_mean('', tasks)}")
    for name in names:
        if name not in tasks:
            raise UserError(f"{place}: unknown task {shown(name)}; {did_you_mean(name, tasks)}")
    return names
