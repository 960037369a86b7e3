"""Which tasks are meant where inputs are given without a word of tasks."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol


class _Reader(Protocol):
    """:class:`.Inputs`, or :class:`.InputProcessor`."""

    def modalities(self, inputs: Iterable[str]) -> frozenset[str]: ...


Way = tuple[Collection[str], Sequence[str]]
"""Inputs that a data set has, by name, and the tasks that it labels."""


def not_meant(reader: _Reader, inputs: Iterable[str], ways: Iterable[Way]) -> frozenset[str]:
    """The tasks that were learnt from other kinds of inputs alone: of a spoken digit nobody asks what is written.

    None, if these would be all.

    Args:
        reader: Knows the kinds.
        inputs: What is predicted on, by name.
        ways: Of the data sets that the model was trained on.
    """
    given, known = reader.modalities(inputs), [(reader.modalities(names), set(labels)) for names, labels in ways]
    meant = frozenset().union(*(labels for kinds, labels in known if kinds <= given))
    every = frozenset().union(*(labels for _, labels in known))
    return every - meant if meant else frozenset()
