"""What turns raw columns into the inputs of an encoder."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.encoders.shown import PackedRow, Shown, picture_or_numbers
from mtl_lightning.inputs.augmentation import Augmentation
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.movement import Movement
from mtl_lightning.inputs.words import Words


class InputProcessor(ABC):
    """Turns raw columns into tensors: once an example when the data is encoded, then once a batch.

    A processor is small and picklable (it travels to the workers of a data loader) and holds no weights.

    An example may be several sequences, say one a choice of a question. What ``collate`` returns begins with all R of
    them then, and ``sequences`` [B, N] has the numbers of each example's, with -1 where it has fewer than N. How many
    each example has [B] stands there under the name of the input that they come from, so that heads know what they are.

    Attributes:
        inputs: The names that a data set may map columns to.
        plain: What does the same without torch, for models that are exported; null: they cannot be.
        placed_in: The inputs whose parts, words or choices, predictions are placed in; an example has one at most.
        of_batch: Names of what ``collate`` returns of the batch as a whole, which begins with no B.
        for_heads: Names of what ``collate`` returns for heads alone, which begins with B; the encoder passes over it.
        files: The inputs whose texts, in a data set, are paths of files: ``encode`` gets a ``pathlib.Path`` for them.
        array_files: The inputs that may be paths of ``.npy`` files; in a data set they start from its root.
        optional: The inputs that say more of others, and may be left out of what is predicted on.
        reads_missing: Whether a value that is missing is one like others, as in a table.
        may_lack: The inputs that may be null where an example has others.
        looked_up: Encoded inputs that ``unknown`` looks at.
        augment: What ``varied`` does to images.
    """

    inputs: tuple[str, ...]
    plain: Inputs | None = None
    placed_in: tuple[str, ...] = ("tokens",)
    for_heads: frozenset[str] = frozenset({"sequences"})
    of_batch: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    array_files: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    reads_missing: bool = False
    may_lack: frozenset[str] = frozenset()
    looked_up: frozenset[str] = frozenset()
    augment: tuple[Augmentation, ...] = ()

    def modalities(self, inputs: Iterable[str]) -> frozenset[str]:
        """What tells these inputs from others that the encoder reads by layers of their own; by default, nothing does.

        Args:
            inputs: Names.
        """
        return frozenset()

    def check(self, inputs: Collection[str]) -> None:  # noqa: B027 - most take any
        """Raises :class:`mtl_lightning.errors.UserError` if a data set cannot have these inputs together.

        Args:
            inputs: Names that the data set maps columns to, each known.
        """

    @abstractmethod
    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Encodes examples.

        Args:
            columns: Raw values by input name, each a list of N. Where a data set maps several columns to an input, its
                values are tuples, one raw value a column.

        Returns:
            Encoded values by name, each a list of N. A processor that knows label positions adds ``num_words``, the
            number of positions of each raw example, and ``word_starts``, of the positions that were kept. One that cuts
            long examples adds ``lost``, the number of words or tokens of each that were cut off. One that finds
            something odd adds ``note``, what is said of each ("are silent"), or nothing. One whose examples are several
            sequences adds ``num_sequences``, and lists the values of these; see :mod:`.several`.

        Raises:
            UserError: For a value that is no such input; of a tuple it says which (``part``). The caller adds file,
                column and row.
        """

    @abstractmethod
    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Pads and stacks encoded examples into tensors whose first dimension is B."""

    def varied(self, example: Mapping[str, Any], key: Sequence[int]) -> Mapping[str, Any]:
        """An encoded example as it is trained on this time, for ``collate``: by default, as it is.

        Args:
            example: Encoded.
            key: Of random numbers: the run's seed, the epoch, the number of the data set, and that of the example. What
                is drawn must follow from it alone, so that a resumed run draws the same.
        """
        return example

    def moved(self, example: Mapping[str, Any], key: Sequence[int] | None) -> Movement | None:
        """Where ``varied`` and ``collate`` move the pixels of an example's image, for their labels; null: they stay, as
        by default.

        Args:
            example: Encoded, and not varied.
            key: That of ``varied``; null: the example is not varied.
        """
        return None

    def collate_columns(
        self, columns: Mapping[str, Sequence[Any]], keys: Sequence[Sequence[int]] | None = None
    ) -> dict[str, Tensor]:
        """What ``collate`` makes of examples that are given by column; for processors that need no example by itself.

        Args:
            columns: B encoded values by name; an array [B, n] where each is an array [n].
            keys: For ``varied``, one an example; null: they are taken as they are.
        """
        examples: list[Mapping[str, Any]] = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        if keys is not None:
            examples = [self.varied(example, key) for example, key in zip(examples, keys, strict=True)]
        return self.collate(examples)

    @property
    def packs(self) -> bool:
        """Whether a batch costs what its examples are long together, rather than what they are padded to."""
        return False

    def can_join(self, batches: Sequence[Mapping[str, Tensor]]) -> bool:
        """Whether collated inputs of several batches can be joined in one, and had better be: by default, if they
        differ in the number of examples alone.
        """
        if any("sequences" in inputs for inputs in batches):
            return False
        kinds = [{name: (t.shape[1:], t.dtype) for name, t in inputs.items()} for inputs in batches]
        return all(kind == kinds[0] for kind in kinds)

    def join(self, batches: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Joins collated inputs, each [B_i, ...], where ``can_join`` says that it can be done."""
        return {name: torch.cat([inputs[name] for inputs in batches]) for name in batches[0]}

    def num_positions(self, inputs: Mapping[str, Tensor]) -> int | None:
        """How many label positions L collated inputs have, so that what ``join`` adds to them can be left out of what
        the heads read. None: there are none, or ``join`` adds none, as by default.
        """
        return None

    @abstractmethod
    def length(self, example: Mapping[str, Any]) -> int:
        """Size of an encoded example in the unit of throughput (tokens for text)."""

    def words(self, value: Any) -> Words | None:
        """The label positions of one raw input that was encoded, and where they stand in it. None: there are none.

        Args:
            value: Of an input of ``placed_in``.
        """
        return None

    def shown(self, inputs: Mapping[str, Tensor], example: int) -> Sequence[Shown]:
        """What the model reads of one example, for a person: tokens, numbers, a picture. By default, an image of one or
        three channels is a picture, and anything else numbers.

        Args:
            inputs: What ``collate`` returned, each [R, ...].
            example: Which of the B.
        """
        return [
            picture_or_numbers(name, tensor[row])
            for row in self.rows_of(inputs, example)
            for name, tensor in inputs.items()
            if name not in self.for_heads
        ]

    def rows_of(self, inputs: Mapping[str, Tensor], example: int) -> list[int]:
        """The rows of collated inputs that an example has: one, unless it is several sequences."""
        if "sequences" not in inputs:
            return [example]
        return [row for row in inputs["sequences"][example].tolist() if row >= 0]

    def packed_rows(self, inputs: Mapping[str, Tensor]) -> Sequence[PackedRow]:
        """The rows in which the model reads the sequences of collated inputs; none, as by default: each in its own."""
        return ()

    def unknown(self, columns: Mapping[str, Sequence[Any]]) -> Mapping[tuple[str, int], np.ndarray]:
        """Which encoded values are none that training had, where the model knows those alone; by default, none are.

        Args:
            columns: N encoded values of each of ``looked_up`` by name, an array [N, n] where each is an array [n].

        Returns:
            Truth values [N] by input, and number of its column.
        """
        return {}

    def cut_off(self, values: Mapping[str, Any]) -> str:
        """What of the raw inputs of one example is beyond the encoder's limit; empty by default.

        Args:
            values: By input name.
        """
        return ""

    @abstractmethod
    def signature(self) -> Any:
        """Something small that changes whenever ``encode`` would give another result; the cache is keyed by it."""


class PlainProcessor(InputProcessor):
    """A processor that reads inputs by a part which needs no torch, so that a model with it can be exported."""

    plain: Inputs

    def check(self, inputs: Collection[str]) -> None:
        self.plain.check(inputs)

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        return self.plain.encode(columns)

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(array) for name, array in self.plain.collate(examples).items()}

    def length(self, example: Mapping[str, Any]) -> int:
        return self.plain.length(example)

    def words(self, value: Any) -> Words | None:
        return self.plain.words(value)
