"""What turns raw values into the arrays that a model reads."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mtl_lightning.inputs.words import Words


class Inputs(ABC):
    """Turns raw columns into arrays, as an :class:`.InputProcessor` does into tensors, whose plain part it is.

    Attributes:
        inputs: The names that columns may be mapped to.
        placed_in: The inputs whose parts, words or choices, predictions are placed in.
        files: The inputs whose texts, in a table, are paths of files: ``encode`` gets a ``pathlib.Path`` for them.
        array_files: The inputs that may be paths of ``.npy`` files; in a table they start from its data set's root.
        optional: The inputs that say more of others, and may be left out of what is predicted on.
        reads_missing: Whether a value that is missing is one like others, as in a table.
        may_lack: The inputs that may be null where an example has others.
    """

    inputs: tuple[str, ...]
    placed_in: tuple[str, ...] = ()
    files: frozenset[str] = frozenset()
    array_files: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    reads_missing: bool = False
    may_lack: frozenset[str] = frozenset()

    def modalities(self, inputs: Iterable[str]) -> frozenset[str]:
        """What tells these inputs from others that a model reads by layers of their own; by default, nothing does.

        Args:
            inputs: Names.
        """
        return frozenset()

    def check(self, inputs: Collection[str]) -> None:  # noqa: B027 - most take any
        """Raises :class:`mtl_lightning.errors.UserError` if these inputs cannot be had together.

        Args:
            inputs: Names, each known.
        """

    @abstractmethod
    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Encodes examples; see :meth:`.InputProcessor.encode`."""

    @abstractmethod
    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """Stacks B encoded examples into arrays, filled up where lengths differ."""

    @abstractmethod
    def length(self, example: Mapping[str, Any]) -> int:
        """Size of an encoded example in the unit of throughput (tokens for text)."""

    def words(self, value: Any) -> Words | None:
        """The label positions of one raw input that was encoded, and where they stand in it. None: there are none.

        Args:
            value: Of an input of ``placed_in``.
        """
        return None

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What it is made of, as JSON has it; a tokenizer is kept in a file of its own."""
